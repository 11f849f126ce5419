"""The storage in memory as `limits` uses it, by its own ways in."""

from __future__ import annotations

import threading

import pytest
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from gateway.rates.memory import MonotonicStorage
from gateway.rates.windows import CallRateItem

THREE = RateLimitItemPerMinute(3)


def test_limits_makes_it_from_its_scheme_and_no_thread_is_started() -> None:
    before = threading.active_count()
    storage = storage_from_string("memory+monotonic://")
    assert isinstance(storage, MonotonicStorage)
    assert storage.check()
    limiter = MovingWindowRateLimiter(storage)
    assert [limiter.hit(THREE, "acme") for _ in range(4)] == [True, True, True, False]
    assert threading.active_count() == before


def test_a_hit_may_cost_more_than_one_and_is_taken_whole_or_not_at_all() -> None:
    now = 100.0
    limiter = MovingWindowRateLimiter(MonotonicStorage(clock=lambda: now))
    assert limiter.get_window_stats(THREE, "acme") == (160.0, 3)
    assert limiter.hit(THREE, "acme", cost=2)
    now += 20
    assert not limiter.hit(THREE, "acme", cost=2)
    assert limiter.test(THREE, "acme")
    assert not limiter.test(THREE, "acme", cost=2)
    assert limiter.get_window_stats(THREE, "acme") == (160.0, 1)
    assert not limiter.hit(THREE, "acme", cost=4)
    now += 40
    assert limiter.hit(THREE, "acme", cost=3)


def test_what_is_cleared_begins_anew() -> None:
    storage = MonotonicStorage()
    limiter = MovingWindowRateLimiter(storage)
    for key in ("acme", "other"):
        assert limiter.hit(THREE, key, cost=3)
    limiter.clear(THREE, "acme")
    assert limiter.hit(THREE, "acme")
    assert not limiter.hit(THREE, "other")
    assert storage.reset() == 2
    assert storage.keys() == []
    assert limiter.hit(THREE, "other")


def test_a_strategy_that_it_does_not_support_is_told_so() -> None:
    limiter = FixedWindowRateLimiter(MonotonicStorage())
    for call in (limiter.hit, limiter.test, limiter.get_window_stats):
        with pytest.raises(NotImplementedError, match="MovingWindowRateLimiter"):
            call(THREE, "acme")
    with pytest.raises(NotImplementedError, match="MovingWindowRateLimiter"):
        limiter.storage.get_expiry("acme")


def test_the_key_of_a_call_rate_is_the_same_whatever_the_rate() -> None:
    assert CallRateItem(3, 60).key_for("acme") == CallRateItem(5, 10).key_for("acme") == "acme"
    assert CallRateItem(3, 90).get_expiry() == 90
