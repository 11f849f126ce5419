"""Rows 10 and 11, the day of row 15, and deadlines: a gateway with a small disk, a movable clock, little patience."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.clock import MovableClock
from tests.faults.crowd import Crowd, post
from tests.faults.disks import MIB, Disk, small_disks
from tests.faults.streams import tokens_of
from tests.processes import processes
from tests.real.callers import ADMIN_TOKEN, CHAT, GET_DATA, LONG, body, caller_with, database
from tests.real.repeats import ask, new_key
from tests.real.test_metrics import figures as metrics_of
from tests.server import end, launch, wait_for, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.figures import Figure
    from tests.real.callers import Caller
    from tests.server import GatewayServer, Reply

HOUR = 3600
DAY = 24 * HOUR
WINDOW = 3  # seconds
MINUTE = 60  # the window of tokens a minute, in seconds
REQUEST_TIMEOUT = 2.0
DISK = 64 * MIB


@dataclass
class Place:
    """Where a gateway runs."""

    server: GatewayServer
    disks: list[Disk]
    clock: MovableClock


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, elsewhere = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("clock")
    clock = MovableClock(elsewhere)
    started: list[GatewayServer] = []
    with small_disks(folder, DISK, lambda: processes(started[0])) as disks:
        server = launch(
            folder,
            folder / "log",
            GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN,
            GATEWAY_REQUEST_TIMEOUT=str(REQUEST_TIMEOUT),
            **clock.environment,
        )
        started.append(server)
        try:
            wait_until_ready(server)
            yield Place(server, disks, clock)
        finally:
            end(server)


def test_a_full_disk_is_503_and_it_recovers_by_itself(place: Place, figure: Figure) -> None:
    for disk in place.disks:
        _fill_up(place.server, disk, figure)


def _fill_up(server: GatewayServer, disk: Disk, figure: Figure) -> None:
    caller = caller_with(server, tokenQuota={"amount": 100_000, "period": "lifetime"})
    assert caller.ask().status == 200
    pids = set(processes(server))
    disk.fill()
    try:
        refused: list[Reply] = []

        def full() -> bool:
            refused.append(caller.ask())
            return refused[-1].status == 503

        wait_for(full, "the first 503")  # what SQLite has room for in its files still goes in
        refused = [caller.ask() for _ in range(20)]
        live, metrics = server.get("/health/live").status, metrics_of(server)
    finally:
        disk.free()
    began = time.monotonic()
    wait_for(lambda: caller.ask().status == 200, "an answer", 20)
    recovered = time.monotonic() - began
    wait_for(lambda: caller.open_rows() == 0, "the rows' end", 10)
    with closing(sqlite3.connect(database(server))) as connection:
        integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
    figure(
        10,
        f"{disk.kind}: {sum(reply.status == 503 for reply in refused)} of {len(refused)} calls got 503, "
        f"liveness {live}, integrity check {integrity}, served {recovered:.1f} s after there was room again",
    )
    assert {reply.status for reply in refused} == {503}
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
    assert all(reply.json["code"] == 503 for reply in refused)
    assert live == 200
    assert metrics["gateway_engine_ready", frozenset()] == 1
    assert set(processes(server)) == pids
    assert integrity == "ok"
    assert caller.usage()["totalTokens"] == sum(map(tokens_of, caller.rows()))
    last = caller.ask()
    wait_for(lambda: any(last.headers["X-Trace-Id"] in line for line in server.log), "the log to go on")


def _numbers(value: Any) -> list[float]:
    """All of them in a JSON document."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in _numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, int | float) else []


def _none_is_negative(caller: Caller, replies: list[Reply]) -> bool:
    told = [caller.get(path).json for path in ("/me/subscription", "/me/usage")]
    numbers = _numbers([*told, *(reply.json for reply in replies)])
    headers = [
        value
        for reply in replies
        for name, value in reply.headers.items()
        if name.lower().startswith("x-ratelimit") or name == "Retry-After"
    ]
    rows = [row[name] or 0 for row in caller.rows() for name in ("duration_seconds", "first_token_seconds", "reserved")]
    return min(numbers) >= 0 and min(rows) >= 0 and not any(value.startswith("-") for value in headers)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_moved_locks_nobody_out(place: Place, figure: Figure, hours: int) -> None:
    server = place.server
    by_calls = caller_with(server, rate={"calls": 2, "seconds": WINDOW}, callQuota={"amount": 1000, "period": "hour"})
    by_tokens = caller_with(server, tokensPerMinute=60, tokenQuota={"amount": 100_000, "period": "hour"})
    replies = [by_calls.ask() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    spent = [by_tokens.ask(LONG, max_tokens=100)]  # cut to what there is
    spent.append(by_tokens.ask())
    assert [reply.status for reply in spent] == [200, 429]
    place.clock.move(hours * HOUR)
    began = time.monotonic()
    try:
        locked_out = []
        for caller, seen, longest in ((by_calls, replies, WINDOW), (by_tokens, spent, MINUTE)):

            def answered(caller: Caller = caller, seen: list[Reply] = seen) -> bool:
                seen.append(caller.ask())
                return seen[-1].status == 200

            wait_for(answered, "an answer", longest + 5)
            locked_out.append(time.monotonic() - began)
        honest = max(int(reply.headers.get("Retry-After", 0)) for reply in (*replies, *spent))
        figure(
            11,
            f"{hours:+d} h: calls in a window of {WINDOW} s were refused for {locked_out[0]:.1f} s, of a minute for "
            f"{locked_out[1]:.1f} s, never with more than {honest} s to wait",
        )
        assert locked_out[0] < WINDOW + 2
        assert locked_out[1] < MINUTE + 2
        assert honest <= MINUTE
        assert _none_is_negative(by_calls, replies)
        assert _none_is_negative(by_tokens, spent)
        assert server.get("/health/ready").status == 200
    finally:
        place.clock.move(0)
    wait_for(lambda: by_calls.ask().status == 200, "an answer at the right time again", WINDOW + 5)
    assert server.process.poll() is None


def test_the_answer_to_a_key_is_kept_for_24_hours(place: Place, figure: Figure) -> None:
    caller, key = caller_with(place.server), new_key()
    first = ask(caller, key)
    assert first.status == 200
    try:
        place.clock.move(DAY - MINUTE)
        kept = ask(caller, key)
        place.clock.move(DAY + 1)
        anew = ask(caller, key)
        again = ask(caller, key)
    finally:
        place.clock.move(0)
    replayed = ["Idempotent-Replayed" in reply.headers for reply in (first, kept, anew, again)]
    figure(
        15, "the same answer by a clock 23:59 h later, a new one 24 h later" if replayed[1] else "not kept for a day"
    )
    assert replayed == [False, True, False, True]
    assert kept.content == first.content
    assert (anew.status, again.content) == (200, anew.content)
    assert anew.content != first.content
    assert [row["status"] for row in caller.rows()] == [200, 200]


@pytest.mark.parametrize("path", [GET_DATA, CHAT])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_past_its_deadline_gets_504_and_leaves_the_engine(place: Place, path: str, *, stream: bool) -> None:
    caller = caller_with(place.server)
    # So many at a time that none is done within the deadline.
    with Crowd(place.server.port) as crowd:
        asked = post(path, caller.key, {**body(path, LONG), "stream": stream})
        late = [crowd.send(asked) for _ in range(48)]
        crowd.until_over(late)
    for one in late:
        assert one.seconds < REQUEST_TIMEOUT + 2
        if stream:
            assert not one.whole
            failure = json.loads(one.body.decode().rstrip().split("data: ")[-1])
        else:
            assert one.status == 504
            failure = one.json
        assert failure["code"] == 504

    def empty() -> bool:
        told = metrics_of(place.server)
        return told["gateway_engine_requests_running", frozenset()] == 0

    wait_for(empty, "an empty engine", 2)
    wait_for(lambda: caller.open_rows() == 0, "the rows' end", 5)
    assert {row["status"] for row in caller.rows()} == {504}
