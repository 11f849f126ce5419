"""Every window against a model that is too simple to be wrong, and against clocks that jump to and fro."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.errors import RateLimitedError
from gateway.products import Rate
from gateway.rates import CallRates, MemoryWindows

if TYPE_CHECKING:
    import time_machine

    from gateway.rates import Windows

SECONDS = 60
LONGEST_WAIT = SECONDS + 1
FEW = settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
numbers = itertools.count()


class Answer(NamedTuple):
    """What a caller is told: granted or not, calls left, whole seconds until there is room for one more."""

    granted: bool
    remaining: int
    seconds: int


class Model:
    """All calls ever granted to one key, and a look at all of them for each new one.

    Args:
        edge: seconds that a call stays longer than the window.
    """

    def __init__(self, edge: float) -> None:
        self._edge = edge
        self._times: list[float] = []

    def take(self, now: float, calls: int) -> Answer:
        """What a call is to be told at a moment."""
        granted = len(self._window(now)) < calls
        if granted:
            self._times.append(now)
        window = self._window(now)
        leaves = window[-calls:][0]
        return Answer(granted, max(0, calls - len(window)), math.ceil(leaves + SECONDS + self._edge - now))

    def _window(self, now: float) -> list[float]:
        return [one for one in self._times if now < one + SECONDS + self._edge]


def answer(rates: CallRates, key: str, calls: int) -> Answer:
    try:
        _, remaining, reset = rates.take(key, Rate(calls, SECONDS))
    except RateLimitedError as error:
        return Answer(granted=False, remaining=0, seconds=int(error.retry_after or 0))
    return Answer(granted=True, remaining=remaining, seconds=reset)


# Seconds that pass, which key calls, and the rate that it has then.
passing = st.sampled_from([0, 0, 0, 1, 7, 30, SECONDS - 1, SECONDS, SECONDS + 1])
steps = st.lists(st.tuples(passing, st.integers(0, 1), st.integers(1, 4)), max_size=40)


@FEW
@given(steps=steps)
def test_every_answer_is_that_of_the_model(
    windows: Windows, clock: time_machine.Traveller, request: pytest.FixtureRequest, steps: list[tuple[int, int, int]]
) -> None:
    # Redis counts a call at the very moment that it leaves; asked a moment later, it does not.
    edge = 0.0002 if request.node.callspec.params["windows"] == "redis" else 0.0
    rates, example_number = CallRates(windows), next(numbers)
    models = [Model(edge), Model(edge)]
    clock.move_to("2030-01-01T12:00:00Z", tick=False)
    for seconds, which, calls in steps:
        clock.shift(seconds)
        assert answer(rates, f"{example_number}-{which}", calls) == models[which].take(time.time(), calls)


moves = st.sampled_from([-3600.0, -90.0, -30.0, -0.5, 0.0, 0.0, 0.5, 20.0, 30.0, 61.0, 3600.0])


@FEW
@given(steps=st.lists(st.tuples(moves, st.integers(0, 1), passing), max_size=40))
def test_windows_in_memory_are_those_of_the_model_wherever_the_clock_is_moved(
    clock: time_machine.Traveller, steps: list[tuple[float, int, int]]
) -> None:
    elapsed = 1000.0
    rates, model = CallRates(MemoryWindows(lambda: elapsed)), Model(edge=0.0)
    for moved, more, seconds in steps:
        clock.shift(moved)
        elapsed += seconds
        assert answer(rates, "acme", 2 + more) == model.take(elapsed, 2 + more)


@pytest.mark.parametrize("windows", ["redis", "sqlite", "postgresql"], indirect=True)
@FEW
@given(steps=st.lists(st.tuples(moves, st.integers(1, 4)), max_size=25), calls=st.integers(1, 4))
# Forward and back with calls on either side: calls of the future stand between those of now.
@example(steps=[(0.0, 1), (3600.0, 2), (-3600.0, 0), (20.0, 1), (61.0, 1), (0.5, 1)], calls=4)
def test_who_waits_as_told_is_granted_wherever_the_clock_was_moved(
    windows: Windows, clock: time_machine.Traveller, steps: list[tuple[float, int]], calls: int
) -> None:
    rates, key = CallRates(windows), str(next(numbers))
    clock.move_to("2030-01-01T12:00:00Z", tick=False)
    for moved, tries in steps:
        clock.shift(moved)
        for _ in range(tries):
            told = answer(rates, key, calls)
            assert 1 <= told.seconds <= LONGEST_WAIT
            assert 0 <= told.remaining < calls
    told = answer(rates, key, calls)
    if not told.granted:
        clock.shift(told.seconds)
        assert answer(rates, key, calls).granted
