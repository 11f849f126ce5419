"""The ledger through deaths and a database that is away, on real gateways."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.processes import pid_of
from tests.real.callers import ADMIN_TOKEN, CHAT, LONG, Caller, caller_with, database, manage
from tests.server import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.callers import Stream
    from tests.server import GatewayServer

QUOTA = 100_000


@contextmanager
def locked(server: GatewayServer) -> Iterator[None]:
    """Another process's transaction that keeps the database from being written."""
    with closing(sqlite3.connect(database(server), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_a_locked_database_is_503_within_two_seconds_and_never_401(managed: GatewayServer) -> None:
    callers = [
        caller_with(managed),
        caller_with(managed, maxConcurrency=5),
        caller_with(managed, callQuota={"amount": 5, "period": "day"}),
        caller_with(managed, tokenQuota={"amount": QUOTA, "period": "day"}),
    ]
    for caller in callers:
        assert caller.ask(max_tokens=1).status == 200
    with locked(managed):
        for caller in callers:
            started = time.monotonic()
            reply = caller.ask()
            took = time.monotonic() - started
            assert reply.status == 503, reply.content
            assert int(reply.headers["Retry-After"]) >= 1
            assert took < 2
    for caller in callers:
        assert caller.ask(max_tokens=1).status == 200
    wait_for(lambda: not any(caller.open_rows() for caller in callers), "their rows' end", 5)


def test_a_crowd_at_a_locked_database_is_refused_within_two_seconds(managed: GatewayServer) -> None:
    caller = caller_with(managed, maxConcurrency=100)
    assert caller.ask(max_tokens=1).status == 200

    def ask(number: int) -> tuple[int, float]:
        time.sleep(number / 40)  # one after the other, while the first ones wait
        started = time.monotonic()
        return caller.ask().status, time.monotonic() - started

    with locked(managed), ThreadPoolExecutor(100) as pool:
        found = list(pool.map(ask, range(100)))
    assert {status for status, _ in found} == {503}
    assert max(took for _, took in found) < 2


def test_a_stream_ends_well_while_the_database_is_locked(managed: GatewayServer) -> None:
    caller = caller_with(managed, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    with caller.stream(max_tokens=40) as stream:
        stream.event()
        with locked(managed):
            rest = stream.rest()
            assert rest.endswith("data: [DONE]\n\n")
            assert caller.open_rows() == 1
    told = json.loads(rest.split("\n\n")[-3].removeprefix("data: "))["usage"]
    wait_for(lambda: caller.open_rows() == 0, "its row's end", 5)
    (row,) = caller.rows()
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == (200, told["prompt_tokens"], 40)
    assert caller.left()["tokenQuota"]["remaining"] == QUOTA - told["total_tokens"]


def test_two_workers_refuse_a_rate_within_two_seconds_at_a_locked_database(pair: GatewayServer) -> None:
    caller = caller_with(pair, rate={"calls": 50, "seconds": 60})
    assert caller.ask(max_tokens=1).status == 200
    with locked(pair):
        started = time.monotonic()
        assert caller.ask().status == 503
        assert time.monotonic() - started < 2
    assert caller.ask(max_tokens=1).status == 200


def test_one_of_two_workers_killed_loses_nothing(pair: GatewayServer) -> None:
    caller = caller_with(pair, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    with ExitStack() as stack:
        opened: list[Stream] = [stack.enter_context(caller.stream()) for _ in range(2)]
        for stream in opened:
            assert stream.event()
        os.kill(pid_of(pair, "worker ["), signal.SIGKILL)
        for stream in opened:
            with suppress(OSError, http.client.HTTPException):
                stream.rest()
    wait_for(lambda: caller.open_rows() == 0, "the rows' end", 5)
    rows = caller.rows()
    assert {(row["status"], row["finish_reason"]) for row in rows} <= {(500, "lost"), (200, "stop"), (200, "length")}
    spent = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    wait_for(lambda: caller.ask(max_tokens=1).status == 200, "an answer")
    assert all(row["completion_tokens"] > 0 for row in rows)
    assert caller.rows()[:2] == rows
    assert spent > 0


@pytest.fixture
def draining(tmp_path: Path) -> Iterator[GatewayServer]:
    """A gateway that cuts its calls off one second after it is told to stop."""
    environment = {"GATEWAY_DRAIN_TIMEOUT": "1", "GATEWAY_ENGINE_ARGS": "--max-num-seqs 2"}
    with running(tmp_path, GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN, **environment) as server:
        yield server


def test_a_stop_leaves_no_row_open(draining: GatewayServer) -> None:
    caller = caller_with(draining, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    with caller.stream(CHAT, ignore_eos=True) as stream, ThreadPoolExecutor() as callers:
        assert stream.event()
        whole = callers.submit(caller.ask, LONG, CHAT, ignore_eos=True, max_tokens=None)
        wait_for(lambda: manage(draining, "GET", "/engine").json["requestsRunning"] == 2, "two calls in the engine")
        waiting = [callers.submit(_give_up_on, caller) for _ in range(2)]
        wait_for(lambda: caller.open_rows() == 4, "four calls")
        assert draining.stop() == 0
    assert whole.result().status == 503
    assert "stopped while it answered" in whole.result().json["message"]
    for one in waiting:
        one.result()
    rows = caller.rows()
    assert [(row["status"], row["reserved"], row["ended_at"] is None) for row in rows] == [(503, 0, False)] * 4, (
        "\n".join(draining.log[-40:])
    )
    # Those that wait may have had a place for a step, while the others were taken out.
    assert [row["completion_tokens"] > 0 for row in rows if row["operation"] == "chat completions"] == [True, True]


def _give_up_on(caller: Caller) -> None:
    with suppress(OSError, http.client.HTTPException), caller.stream() as stream:
        stream.rest()
