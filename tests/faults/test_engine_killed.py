"""Row 1: the engine is killed under its streams. Its host too."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.faults.streams import Streams, events_of, tokens_of
from tests.processes import gone, pid_of
from tests.real.callers import CHAT, caller_with
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.faults.crowd import Crowd
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

STREAMS = 64
QUOTA = 1_000_000
TOLD_WITHIN, REBUILT_WITHIN = 2.0, 30.0


def test_a_killed_engine_fails_its_streams_at_once_and_is_rebuilt(
    gateway: GatewayServer, crowd: Crowd, figure: Figure
) -> None:
    caller = caller_with(gateway, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    worker = pid_of(gateway, "worker [")
    streams = Streams(crowd, caller, STREAMS)
    killed = time.monotonic()
    os.kill(pid_of(gateway, "EngineCore"), signal.SIGKILL)
    crowd.until_over(streams)
    slowest = max(one.ended or 0 for one in streams) - killed
    refused = gateway.post("/get-data", {"prompt": "Hello"})
    wait_for(lambda: gateway.post("/get-data", {"prompt": "Hello", "max_tokens": 1}).status == 200, "a new engine")
    rebuilt = time.monotonic() - killed

    figure(
        1,
        f"{STREAMS} streams were told within {slowest:.2f} s; a new engine answered {rebuilt:.1f} s after the kill; "
        f"{len(streams.rows())} rows for {STREAMS} streams",
    )
    for trace_id, one in streams.exchanges.items():
        assert not one.whole
        assert b"[DONE]" not in one.body
        told = events_of(one)[-1]
        assert told["code"] == 503
        if streams.paths[trace_id] == CHAT:
            assert told["error"]["message"] == told["message"]
    assert not [line for line in gateway.log if "Traceback" in line and "chat completion" in line]
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    spent = streams.check_rows(crowd, 503, None)
    assert caller.left()["tokenQuota"]["remaining"] <= QUOTA - spent
    assert sum(map(tokens_of, caller.rows())) == caller.usage()["totalTokens"]
    assert pid_of(gateway, "worker [") == worker
    assert slowest < TOLD_WITHIN
    assert rebuilt < REBUILT_WITHIN


def test_a_killed_engine_host_takes_its_engine_with_it_and_is_replaced(gateway: GatewayServer) -> None:
    host, core = pid_of(gateway, "vllm.host"), pid_of(gateway, "EngineCore")
    os.kill(host, signal.SIGKILL)
    wait_for(lambda: gone({host, core}), "the engine's end", 5)
    wait_for(lambda: gateway.post("/get-data", {"prompt": "Hello"}).status == 200, "the new engine", 60)
