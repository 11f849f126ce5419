"""One window of calls, in this process, in Redis and in the store alike."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from gateway.errors import RateLimitedError, UnavailableError
from gateway.products import LARGEST, LONGEST_RENEWAL, Rate
from gateway.rates import CallRates, MemoryWindows
from gateway.rates.memory import MonotonicStorage
from gateway.rates.stored import StoredWindows
from gateway.rates.windows import SWEEP_SECONDS, LimitsWindows
from gateway.store import open_store, rate_rows
from gateway.store.tables import call_rates
from tests.rates.conftest import open_windows
from tests.store.processes import at_once

if TYPE_CHECKING:
    from pathlib import Path

    import time_machine

    from gateway.rates import RateWindow

THREE = Rate(3, 60)
HOUR = 3600


def refused(rates: CallRates, rate: Rate, key: str = "acme") -> int:
    """The seconds after which a refused call may come back."""
    with pytest.raises(RateLimitedError) as caught:
        rates.take(key, rate)
    seconds = caught.value.retry_after
    assert isinstance(seconds, int)
    assert caught.value.message == f"Rate limit is exceeded. Try again in {seconds} seconds."
    return seconds


def granted(rates: CallRates, rate: Rate, key: str = "acme", tries: int = 20) -> int:
    """How many of many tries are granted."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(key, rate)
        except RateLimitedError:
            continue
        count += 1
    return count


def test_a_window_counts_down_and_then_refuses(rates: CallRates, clock: time_machine.Traveller) -> None:
    assert rates.take("acme", THREE) == (3, 2, 60)
    clock.shift(10)
    assert rates.take("acme", THREE) == (3, 1, 50)
    assert rates.take("acme", THREE) == (3, 0, 50)
    assert refused(rates, THREE) == 50


def test_a_refused_call_is_granted_after_the_seconds_it_was_told_and_not_much_before(
    rates: CallRates, clock: time_machine.Traveller
) -> None:
    for _ in range(3):
        rates.take("acme", THREE)
        clock.shift(7.25)
    for _ in range(6):  # the three leave one after the other, then those that took their places
        seconds = refused(rates, THREE)
        clock.shift(seconds - 1.5)
        assert refused(rates, THREE) <= 2
        clock.shift(1.5)
        assert rates.take("acme", THREE).remaining == 0


def test_to_look_at_a_window_counts_nothing(rates: CallRates, clock: time_machine.Traveller) -> None:
    assert rates.left("acme", THREE) == (3, 3, 0)
    rates.take("acme", THREE)
    clock.shift(10)
    rates.take("acme", THREE)
    for _ in range(5):
        assert rates.left("acme", THREE) == (3, 1, 50)
    assert rates.left("acme", Rate(1, 60)) == (1, 0, 60)  # the newer one has to leave as well
    assert rates.left("another", THREE) == (3, 3, 0)
    rates.take("acme", THREE)
    assert rates.left("acme", THREE) == (3, 0, 50)
    clock.shift(51)
    assert rates.left("acme", THREE) == (3, 1, 9)
    clock.shift(10)
    assert rates.left("acme", THREE) == (3, 3, 0)


def test_a_call_of_a_clock_that_was_set_back_is_not_looked_at(
    shared: tuple[str, str], clock: time_machine.Traveller
) -> None:
    with ExitStack() as stack:
        rates = CallRates(open_windows(*shared, stack))
        assert granted(rates, THREE) == 3
        clock.shift(-HOUR)
        assert rates.left("acme", THREE) == (3, 3, 0)


def test_a_refused_call_does_not_count(rates: CallRates, clock: time_machine.Traveller) -> None:
    assert granted(rates, THREE) == 3
    clock.shift(60)
    assert granted(rates, THREE) == 3


def test_a_window_moves_on_with_each_call(rates: CallRates, clock: time_machine.Traveller) -> None:
    assert granted(rates, THREE, tries=1) == 1
    clock.shift(59)
    assert granted(rates, THREE) == 2
    clock.shift(2)
    assert granted(rates, THREE) == 1  # a window that begins anew each minute would grant three


def test_each_subscription_has_a_window_of_its_own(rates: CallRates) -> None:
    for key in ("acme", "acme-2", "a" * 80, "A.b_c"):
        assert granted(rates, THREE, key) == 3


def test_a_changed_rate_counts_the_calls_so_far(rates: CallRates, clock: time_machine.Traveller) -> None:
    assert granted(rates, THREE) == 3
    assert granted(rates, Rate(5, 60)) == 2
    clock.shift(30)
    assert granted(rates, Rate(6, 60)) == 1
    # Six are in the window; two fit, so five have to leave: four at 60 s, and the one that came at 30 s stays.
    assert refused(rates, Rate(2, 60)) == 30
    clock.shift(30)
    assert granted(rates, Rate(2, 60)) == 1
    assert granted(rates, Rate(2, 20)) == 1


def test_the_largest_rate_is_no_trouble(rates: CallRates) -> None:
    assert rates.take("acme", Rate(LARGEST, LONGEST_RENEWAL)) == (LARGEST, LARGEST - 1, LONGEST_RENEWAL)


def take_when_told(rates: CallRates, clock: time_machine.Traveller) -> tuple[int, RateWindow]:
    """The seconds that a call had to wait, and the window after it."""
    try:
        return 0, rates.take("acme", THREE)
    except RateLimitedError as error:
        seconds = int(error.retry_after or 0)
    clock.shift(seconds)
    return seconds, rates.take("acme", THREE)


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("moved", [-HOUR, -90, -30, -0.5, 30, HOUR])
def test_a_clock_that_is_moved_locks_nobody_out_for_longer_than_a_window(
    rates: CallRates, clock: time_machine.Traveller, moved: float, before: int, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["windows"] == "memory":
        rates = CallRates(MemoryWindows())  # by the clock that it has in earnest, which cannot be moved
        clock.shift(moved)
        assert granted(rates, THREE, tries=before) == before
        clock.shift(-moved)
        assert granted(rates, THREE) == 3 - before
        assert 1 <= refused(rates, THREE) <= 60
        return
    assert granted(rates, THREE, tries=before) == before
    clock.shift(moved)
    for _ in range(5):
        waited, window = take_when_told(rates, clock)
        assert waited <= 61
        assert 0 <= window.remaining < 3
        assert 1 <= window.reset <= 61


def hammer(kind: str, url: str) -> int:
    """Eight threads that take from one window until they are refused many times."""
    total = []
    with ExitStack() as stack:
        rates = CallRates(open_windows(kind, url, stack))
        threads = [
            threading.Thread(target=lambda: total.append(granted(rates, Rate(100, HOUR), tries=15))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(total) == 8
    return sum(total)


def test_eight_processes_with_eight_threads_get_exactly_what_the_window_has(shared: tuple[str, str]) -> None:
    counts = at_once(8, hammer, *shared)
    assert sum(counts) == 100


def test_threads_of_one_process_get_exactly_what_the_window_has() -> None:
    rates, total = CallRates(MemoryWindows()), []
    threads = [
        threading.Thread(target=lambda: total.append(granted(rates, Rate(100, HOUR), tries=50))) for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(total), sum(total)) == (32, 100)


def test_windows_in_memory_do_not_keep_subscriptions_that_stopped_calling() -> None:
    now = 0.0
    storage = MonotonicStorage(clock=lambda: now)
    windows = LimitsWindows(storage, lambda: now)
    for number in range(50):
        windows.take(f"sub-{number}", 5, 60)
    assert len(storage.keys()) == 50
    now += LONGEST_RENEWAL
    windows.take("acme", 5, 60)
    assert storage.keys() == ["acme"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_windows_in_the_store_keep_only_the_calls_that_count(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'g.sqlite3'}" if kind == "sqlite" else str(request.getfixturevalue("postgresql_url"))
    store = open_store(url)
    now, monotonic = 1_900_000_000.0, time.monotonic()

    def numbers(key: str) -> list[int]:
        with store.reading() as connection:
            statement = select(call_rates.c.number).where(call_rates.c.key == key).order_by(call_rates.c.number)
            return list(connection.execute(statement).scalars())

    windows = StoredWindows(store, lambda: now)
    for _ in range(5):
        windows.take("idle", 5, 60)
        windows.take("acme", 5, 60)
        now += 30
    assert numbers("idle") == numbers("acme") == [4, 5]
    now += LONGEST_RENEWAL
    monkeypatch.setattr(time, "monotonic", lambda: monotonic + SWEEP_SECONDS + 60)
    windows.take("acme", 5, 60)
    assert (numbers("idle"), numbers("acme")) == ([], [1])
    store.close()


def test_a_large_sweep_is_done_in_parts_by_one_call_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, monotonic = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}"), time.monotonic()
    rows = rate_rows.SWEPT_AT_ONCE + 500
    with store.writing() as connection:
        for number in range(1, rows + 1):
            rate_rows.add(connection, "idle", number, number)
    windows, left = StoredWindows(store), []
    monkeypatch.setattr(time, "monotonic", lambda: monotonic + SWEEP_SECONDS + 60)
    for _ in range(2):
        windows.take("acme", 5, 60)
        with store.reading() as connection:
            left.append(connection.execute(select(func.count()).where(call_rates.c.key == "idle")).scalar_one())
    store.close()
    assert left == [500, 0]


def test_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    store.close()
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(UnavailableError):
        CallRates(StoredWindows(store)).take("acme", THREE)
    store.close()


@pytest.mark.parametrize("uptime", [4040.119, 8140.238, 16330.459])
def test_a_clock_s_rounding_makes_no_window_longer(uptime: float) -> None:
    assert CallRates(MemoryWindows(lambda: uptime)).take("acme", THREE) == (3, 2, 60)
