"""A real Redis that is killed, hung, full or never there: calls are counted in this process until it is back."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
from structlog.testing import capture_logs

from gateway.errors import RateLimitedError
from gateway.products import Rate
from gateway.rates import CallRates
from gateway.rates.shared import PATIENCE, RETRY_SECONDS, RedisWindows, SharedWindows
from tests.server import wait_for
from tests.services import RedisServer, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict

FIVE = Rate(5, 3600)
AWAY = {"event": "redis away, call rates are counted in each process", "log_level": "warning"}
BACK = {"event": "redis back, call rates are shared again", "log_level": "info"}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that the test may do harm to."""
    with running_redis() as server:
        yield server


@pytest.fixture
def windows(server: RedisServer) -> Iterator[SharedWindows]:
    with closing(SharedWindows(RedisWindows(server.url), retry_seconds=0.02)) as windows:
        yield windows


@pytest.fixture
def rates(windows: SharedWindows) -> CallRates:
    return CallRates(windows)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as logs:
        yield logs


def granted(rates: CallRates, tries: int, key: str = "acme") -> int:
    count = 0
    for _ in range(tries):
        try:
            rates.take(key, FIVE)
        except RateLimitedError:
            continue
        count += 1
    return count


def test_what_is_left_is_told_by_whoever_counts(server: RedisServer, rates: CallRates, logs: list[EventDict]) -> None:
    with closing(RedisWindows(server.url, patience=30)) as other:
        CallRates(other).take("acme", FIVE)
    rates.take("acme", FIVE)
    assert rates.left("acme", FIVE).remaining == 3
    server.kill()
    assert rates.left("acme", FIVE).remaining == 4
    assert told(logs) == [AWAY]
    assert rates.left("acme", FIVE).remaining == 4


def told(logs: list[EventDict]) -> list[EventDict]:
    """What was logged, without the class of the error."""
    return [{name: value for name, value in entry.items() if name != "error"} for entry in logs]


def wait_until_back(logs: list[EventDict], times: int = 1) -> None:
    wait_for(lambda: told(logs).count(BACK) == times, "Redis to be taken back")


def test_processes_share_a_redis(server: RedisServer, rates: CallRates) -> None:
    with closing(RedisWindows(server.url, patience=30)) as other:
        assert granted(CallRates(other), 3) == 3
        assert granted(rates, 20) == 2


def test_a_killed_redis_is_told_once_and_calls_are_counted_in_this_process(
    server: RedisServer, rates: CallRates, logs: list[EventDict]
) -> None:
    assert granted(rates, 2) == 2
    server.kill()
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(granted(rates, 20))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 16
    assert sum(counts) == 3  # the two that Redis granted to this process are known
    assert told(logs) == [AWAY]


def test_a_redis_that_starts_again_is_taken_back_by_itself(
    server: RedisServer, rates: CallRates, logs: list[EventDict]
) -> None:
    for outage in (1, 2):
        server.kill()
        assert granted(rates, 1, "acme") == 1
        server.start()
        wait_until_back(logs, outage)
        assert granted(rates, 1, f"shared-{outage}") == 1
        with redis.Redis.from_url(server.url) as client:
            assert client.keys(f"*shared-{outage}")
    assert told(logs) == [AWAY, BACK] * 2


def test_a_hung_redis_keeps_a_call_waiting_once_and_those_after_it_not_at_all(
    server: RedisServer, rates: CallRates, logs: list[EventDict]
) -> None:
    assert 2 * PATIENCE < 0.2
    assert RETRY_SECONDS <= 1
    assert granted(rates, 1) == 1
    server.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert granted(rates, 200) == 4
        assert time.monotonic() - started < 5  # each of them waiting would take 16 s
        assert told(logs) == [AWAY]
    finally:
        server.send(signal.SIGCONT)
    wait_until_back(logs)


def test_a_redis_that_takes_no_writes_is_away_until_it_does(
    server: RedisServer, rates: CallRates, logs: list[EventDict]
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        assert granted(rates, 20) == 5
        assert told(logs) == [AWAY]  # it answers PING all the while
        client.config_set("maxmemory", 0)
        wait_until_back(logs)


def test_a_redis_that_was_never_there_keeps_nobody_from_starting(server: RedisServer, logs: list[EventDict]) -> None:
    server.kill()
    url = server.url.replace("redis://", "redis://user:secret@")
    with closing(SharedWindows(RedisWindows(url), retry_seconds=0.02)) as windows:
        assert granted(CallRates(windows), 20) == 5
    assert told(logs) == [AWAY]
    assert not any(part in f"{logs} {windows!r}" for part in ("secret", "user", str(server.port), "127.0.0.1"))


def test_a_wrong_password_is_told_without_it(server: RedisServer, logs: list[EventDict]) -> None:
    url = server.url.replace("redis://", "redis://user:secret@")
    with closing(SharedWindows(RedisWindows(url), retry_seconds=0.02)) as windows:
        assert granted(CallRates(windows), 20) == 5
    assert [entry["error"] for entry in logs] == ["AuthenticationError"]
    assert not any(part in str(logs) for part in ("secret", "user", str(server.port)))


def test_nobody_looks_for_a_redis_after_the_end(server: RedisServer, logs: list[EventDict]) -> None:
    with closing(SharedWindows(RedisWindows(server.url), retry_seconds=0.02)) as windows:
        server.kill()
        granted(CallRates(windows), 1)
    wait_for(lambda: all(thread.name != "call-rates-redis" for thread in threading.enumerate()), "the thread to end")
    assert told(logs) == [AWAY]
