"""The record of a request's steps: what it keeps, in which order, and that nobody's costs nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidRequestError, RateLimitedError, UnavailableError
from gateway.trail import LONGEST_FACT, MOST_STEPS, NO_STEP, NO_TRAIL, Trail

if TYPE_CHECKING:
    from collections.abc import Iterator


def clock() -> Iterator[float]:
    """Seconds that go on by one each time somebody looks."""
    now = 100.0
    while True:
        yield now
        now += 1


@pytest.fixture
def trail() -> Trail:
    return Trail(clock().__next__)


def told(trail: Trail) -> list[tuple[str, str, float, float | None]]:
    """Each step: what it is inside of, its name and its times."""
    return [(outer.name, step.name, step.began, step.ended) for outer, step in trail.steps()]


def test_a_step_is_inside_the_one_that_has_not_ended(trail: Trail) -> None:
    with trail.step("a"), trail.step("b"):
        trail.note(of="b")
    engine = trail.step("engine")
    with trail.step("lease"):
        pass
    engine.end()
    with trail.step("c"):
        pass
    assert told(trail) == [
        ("request", "a", 101, 104),
        ("a", "b", 102, 103),
        ("request", "engine", 105, 108),
        ("engine", "lease", 106, 107),
        ("request", "c", 109, 110),
    ]
    assert trail.root.inside[0].inside[0].facts == {"of": "b"}


def test_a_step_that_ends_takes_those_inside_along(trail: Trail) -> None:
    outer, inner = trail.step("outer"), trail.step("inner")
    outer.end()
    assert inner.ended is not None
    with trail.step("next"):
        pass
    assert [name for _, name, *_ in told(trail)] == ["outer", "inner", "next"]
    assert [outer for outer, *_ in told(trail)] == ["request", "outer", "request"]


def test_a_failure_leaves_its_class_and_the_limits_own_words(trail: Trail) -> None:
    limited = RateLimitedError("Try again in 3 seconds.", retry_after=3, limit="call_rate", detail="of 5")
    for error in (limited, ValueError("quotes the prompt"), InvalidRequestError("Field `their-word`.", param="their")):
        with pytest.raises(type(error)), trail.step("step"):
            raise error
    first, second, third = trail.root.inside
    assert (first.error, second.error, third.error) == ("RateLimitedError", "ValueError", "InvalidRequestError")
    assert first.facts == {
        "decision": "Try again in 3 seconds.",
        "limit": "call_rate",
        "retry_after": 3,
        "detail": "of 5",
    }
    assert second.facts == third.facts == {}


def test_a_fact_is_short_and_a_number_that_json_has(trail: Trail) -> None:
    trail.note(text="a" * 1000, none=None, endless=float("inf"), number=1.5, large=2**63 - 1, larger=-(2**63), yes=True)
    assert trail.root.facts == {"text": "a" * LONGEST_FACT, "number": 1.5, "large": 2**63 - 1, "yes": True}
    json.dumps(trail.root.facts, allow_nan=False)


def test_only_so_many_steps_are_kept(trail: Trail) -> None:
    for _ in range(MOST_STEPS + 7):
        with trail.step("a"):
            pass
    trail.hold(1.0, 2.0)
    assert len(told(trail)) == MOST_STEPS
    assert trail.left_out == 8
    trail.add("settlement", 1000.0, 1001.0)  # what comes once is not left out
    assert told(trail)[-1][1] == "settlement"


def test_steps_are_told_in_the_order_in_which_they_began(trail: Trail) -> None:
    engine = trail.step("engine")
    with trail.step("lease"):
        pass
    engine.end()
    trail.add("queue", engine.began, engine.began + 0.5, engine)
    trail.add("decode", engine.began + 0.5, engine.began + 3, engine)
    assert [name for _, name, *_ in told(trail)] == ["engine", "queue", "decode", "lease"]


def test_a_step_of_another_thread_is_the_requests_own(trail: Trail) -> None:
    with trail.step("a"):
        trail.add("settlement", 103.0, 102.0, status=200)
    assert told(trail)[-1] == ("request", "settlement", 103, 103)


def test_a_moment_has_its_time_of_day(trail: Trail) -> None:
    assert trail.unix(trail.root.began) == trail.unix_nanoseconds
    assert trail.unix(trail.root.began + 0.25) == trail.unix_nanoseconds + 250_000_000


def test_nobodys_trail_keeps_nothing_and_makes_nothing() -> None:
    def work() -> None:
        with NO_TRAIL.step("a"), NO_TRAIL.step("b"):
            if NO_TRAIL.on:
                NO_TRAIL.note(of="b")

    work()
    before = sys.getallocatedblocks()
    for _ in range(1000):
        work()
    assert sys.getallocatedblocks() - before < 100
    with pytest.raises(UnavailableError), NO_TRAIL.step("a"):
        raise UnavailableError("Not now.")
    NO_TRAIL.add("a", 1.0, 2.0)
    NO_TRAIL.note(a=1)
    assert NO_TRAIL.step("a") is NO_STEP
    assert (NO_TRAIL.root.inside, NO_TRAIL.root.facts, NO_STEP.facts, NO_STEP.error) == ([], {}, {}, None)
