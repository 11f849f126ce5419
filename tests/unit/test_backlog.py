"""How long a queue takes: tokens that wait by measured tokens a second."""

from __future__ import annotations

import pytest

from gateway.backlog import Backlog
from gateway.engine import Work
from gateway.engines.scripted import ScriptedEngine
from gateway.errors import UnavailableError
from gateway.observer import Observer


def measured(speed: int = 100, **queued: int) -> Backlog:
    """A backlog of an engine that makes so many tokens a second; `p3=60`: 60 tokens wait at priority 3."""
    backlog = Backlog(30)
    by_priority = {int(name[1:]): tokens for name, tokens in queued.items()}
    backlog.observe(Work(1000, {0: 1}), 10)
    backlog.observe(Work(1000 + speed, by_priority), 11)
    return backlog


def test_an_engine_that_was_not_seen_has_nothing_to_do() -> None:
    assert Backlog(30).seconds() == 0


def test_the_queue_takes_its_tokens_by_the_measured_speed() -> None:
    assert measured(speed=100, p0=500).seconds() == 5


def test_an_empty_queue_takes_no_time() -> None:
    assert measured().seconds() == 0


def test_where_nothing_waits_yet_nobody_is_refused_however_long_what_runs_may_take() -> None:
    backlog = Backlog(0.001)
    backlog.observe(Work(10, {}), 10)
    backlog.observe(Work(11, {}), 20)
    backlog.check(0)


def test_a_speed_that_was_never_measured_is_not_guessed() -> None:
    backlog = Backlog(30)
    backlog.observe(Work(0, {0: 10_000}), 1)
    assert backlog.seconds() is None
    backlog.check(0)


def test_only_what_goes_first_is_waited_for() -> None:
    backlog = measured(speed=10, p0=20, p1=30, p2=400)
    assert [backlog.seconds(priority) for priority in (-1, 0, 1, 2)] == [0, 2, 5, 45]


def test_a_call_that_would_wait_too_long_is_refused_with_the_time_that_it_would_wait() -> None:
    backlog = measured(speed=10, p0=300, p1=10)
    backlog.check(0)
    with pytest.raises(UnavailableError) as refused:
        backlog.check(1)
    assert refused.value.retry_after == 31


def test_an_engine_that_had_too_little_to_do_is_not_taken_for_slow() -> None:
    backlog = measured(speed=100, p0=100)
    backlog.observe(Work(1110, {}), 12)
    backlog.observe(Work(1120, {0: 100}), 13)
    assert backlog.seconds() == 1


def test_the_speed_follows_what_is_measured_without_a_jump() -> None:
    backlog = measured(speed=100, p0=1000)
    backlog.observe(Work(1100 + 200, {0: 1000}), 12)
    assert backlog.seconds() == pytest.approx(1000 / 130)


def test_another_engine_begins_at_nothing_and_keeps_the_speed() -> None:
    backlog = measured(speed=100, p0=100)
    backlog.observe(Work(5, {0: 200}), 12)
    assert backlog.seconds() == 2


def test_the_speed_outlives_a_pause() -> None:
    backlog = measured(speed=100, p0=100)
    backlog.forget()
    assert backlog.seconds() == 0
    backlog.observe(Work(9000, {0: 300}), 50)
    assert backlog.seconds() == 3


class Asked(ScriptedEngine):
    """An engine with a queue."""

    def work(self, timeout: float = 5.0) -> Work:  # noqa: D102 - the port's
        del timeout
        self._require_ready()
        return Work(100, {0: 7})


def test_the_observer_tells_what_the_engine_says_while_calls_run() -> None:
    engine, backlog, running = Asked(), measured(speed=1, p0=50), [1]
    observer = Observer(engine, backlog, lambda: bool(running), lambda: 20.0)
    observer.look()
    assert backlog.seconds() == 7
    engine.phase = "loading"
    observer.look()
    assert backlog.seconds() == 0
    engine.phase = "ready"
    observer.look()
    running.clear()
    observer.look()
    assert backlog.seconds() == 0
