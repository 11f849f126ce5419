"""Row 2: a worker is killed under its streams, and where there are two, the other one serves."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.faults.streams import Streams, tokens_of
from tests.processes import gone, pid_of, processes
from tests.real.callers import caller_with
from tests.real.test_metrics import figures as metrics_of
from tests.server import running, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.crowd import Crowd
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

STREAMS = 16
QUOTA = 100_000


def test_a_killed_worker_is_replaced_and_leaves_nothing_behind(
    gateway: GatewayServer, crowd: Crowd, figure: Figure
) -> None:
    caller = caller_with(gateway, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    others = {title.partition(" ")[0] for title in processes(gateway).values()}
    worker, core = pid_of(gateway, "worker ["), pid_of(gateway, "EngineCore")
    streams = Streams(crowd, caller, STREAMS)
    reserved = sum(row["reserved"] for row in caller.rows())
    killed = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    crowd.until_over(streams)

    def answers() -> bool:
        try:
            return gateway.post("/get-data", {"prompt": "Hello", "max_tokens": 1}).status == 200
        except OSError:
            return False

    wait_for(answers, "the new worker", 60)
    serves = time.monotonic() - killed
    wait_for(lambda: caller.open_rows() == 0, "the rows' end", 25)
    left = metrics_of(gateway)
    figure(2, f"a new worker answered {serves:.1f} s after the kill; the engine had let go of all {STREAMS} streams")
    assert gone({worker})
    assert pid_of(gateway, "EngineCore") == core
    assert {title.partition(" ")[0] for title in processes(gateway).values()} == others
    assert left["gateway_engine_requests_running", frozenset()] == 0
    spent = streams.check_rows(crowd, 500, "lost")
    assert spent <= reserved
    assert caller.usage()["totalTokens"] == sum(map(tokens_of, caller.rows()))


def test_of_two_workers_the_one_that_is_ready_serves_whatever_comes(tmp_path: Path, figure: Figure) -> None:
    statuses: list[int] = []
    with running(tmp_path, GATEWAY_WORKERS="2") as server:

        def all_serve(attached: int) -> bool:
            """Ask once; whether so many workers have come to the engine so far."""
            statuses.append(server.post("/get-data", {"prompt": "Hello", "max_tokens": 1}).status)
            return sum("attached to engine" in line for line in server.log) == attached

        wait_for(lambda: all_serve(2), "the second worker")  # with the first, it is ready
        before = len(statuses)
        os.kill(pid_of(server, "worker ["), signal.SIGKILL)
        wait_for(lambda: all_serve(3), "the new worker")
    figure(
        2,
        f"of two workers the other one served all the time: {statuses.count(200)} of {len(statuses)} calls, "
        f"{len(statuses) - before} of them while a new worker started",
    )
    assert set(statuses) == {200}
    assert len(statuses) > before > 0
