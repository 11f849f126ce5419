"""Row 3: the gateway is told to stop under streams and steady load."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.crowd import Crowd, post
from tests.faults.streams import Streams
from tests.processes import gone, processes
from tests.real.callers import ADMIN_TOKEN, caller_with
from tests.server import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.crowd import Exchange
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

STREAMS = 64
DRAIN_TIMEOUT = 60.0
EVERY = 0.05  # seconds between two callers of the steady load
BEFORE = 8  # callers of it that the gateway has surely taken when it is told to stop
UNDER_WAY = 4  # and those that it may just be taking


def _term(server: GatewayServer) -> None:
    server.process.terminate()


def _ctrl_c(server: GatewayServer) -> None:
    os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does: to the whole group


@pytest.mark.parametrize(("name", "stop"), [("SIGTERM", _term), ("Ctrl-C", _ctrl_c)])
def test_a_stop_ends_what_was_accepted_and_refuses_the_rest(
    tmp_path: Path, figure: Figure, name: str, stop: Callable[[GatewayServer], None]
) -> None:
    environment = {"GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN, "GATEWAY_DRAIN_TIMEOUT": str(DRAIN_TIMEOUT)}
    with running(tmp_path, **environment) as server, Crowd(server.port) as crowd:
        everything = set(processes(server))
        caller = caller_with(server)
        short = post("/get-data", caller.key, {"prompt": "Hello", "temperature": 0, "max_tokens": 8})
        streams = Streams(crowd, caller, STREAMS, max_tokens=400)
        steady: list[Exchange] = []

        def call_in_time() -> None:
            while steady and time.monotonic() < steady[-1].sent + EVERY:
                crowd.turn(0.01)
            steady.append(crowd.send(short))

        while len(steady) < BEFORE + UNDER_WAY:
            call_in_time()
        told = time.monotonic()
        stop(server)
        try:
            while server.process.poll() is None:
                assert time.monotonic() < told + DRAIN_TIMEOUT
                call_in_time()
        except ConnectionRefusedError:  # nobody listens any more
            pass
        crowd.until_over([*streams, *steady])
        exited = server.process.wait(10)
        seconds = time.monotonic() - told

    def those(status: int | None) -> list[Exchange]:
        return [one for one in steady if one.status == status]

    figure(
        3,
        f"{name}: {STREAMS} streams and {len(those(200))} short answers ended whole, {len(those(503))} got 503, "
        f"{len(those(None))} nothing; exited after {seconds:.1f} s",
    )
    assert all(one.whole and one.body.endswith(b"data: [DONE]\n\n") for one in streams)
    assert not [bytes(one.raw) for one in steady if not one.whole]
    assert {one.status for one in steady} == {200, 503}
    assert all(one.status == 200 for one in steady[:BEFORE])
    assert all(int(one.headers["retry-after"]) >= 1 for one in those(503))
    assert exited == 0
    wait_for(lambda: gone(everything), "the end of every process", 5)
    assert not list(tmp_path.glob("gateway-*"))
