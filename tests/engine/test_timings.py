"""When the engine did what for a request: from its own times, whosever clock they are of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, EngineCoreOutput

from gateway.engine import Cancelled, Message, Sampling, Timings
from gateway.engines.vllm.timings import TIMED, Times, mark, merged
from tests.engine.test_port import drain
from tests.gateways import some_terms

if TYPE_CHECKING:
    from gateway.engine import Engine

HELLO = [Message("user", "Hello")]


def test_a_request_that_is_traced_says_when_it_was_queued_worked_on_and_answered(engine: Engine) -> None:
    terms = replace(some_terms(), timed=True)
    generation = engine.generate(engine.encode(HELLO), Sampling(max_tokens=20, temperature=0), terms, stream=False)
    drain(generation)
    timings = generation.timings()
    assert timings is not None
    queued, scheduled, first, last = timings
    assert queued is not None
    assert scheduled is not None
    assert first is not None
    assert last is not None
    assert queued <= scheduled <= first < last


def test_a_request_that_is_not_traced_says_nothing(engine: Engine) -> None:
    generation = engine.generate(engine.encode(HELLO), Sampling(max_tokens=2), some_terms())
    drain(generation)
    assert generation.timings() is None


def test_a_request_that_is_taken_out_says_how_far_it_was(engine: Engine) -> None:
    terms = replace(some_terms(), timed=True)
    generation = engine.generate(engine.encode(HELLO), Sampling(max_tokens=900, temperature=0), terms)
    generation.next(60)
    generation.cancel()
    with pytest.raises(Cancelled):
        drain(generation)
    timings = generation.timings()
    assert timings is not None
    assert None not in timings


def output(*events: tuple[EngineCoreEventType, float], ids: tuple[int, ...] = ()) -> EngineCoreOutput:
    """An output of the engine's."""
    return EngineCoreOutput("r", list(ids), events=[EngineCoreEvent(kind, at) for kind, at in events] or None)


def test_a_request_that_was_preempted_counts_from_its_first_turn() -> None:
    times = Times()
    queued, scheduled = EngineCoreEventType.QUEUED, EngineCoreEventType.SCHEDULED
    times.take(output((queued, 1.0), (scheduled, 2.0), ids=(5,)), 3.0, 3.1)
    times.take(output((scheduled, 4.0), ids=(6,)), 5.0, 5.1)
    times.take(output(), 6.0, 6.1)  # says only that it has ended
    assert times.timings() == Timings(1.0, 2.0, 3.0, 5.0)


@pytest.mark.parametrize("off", [-86_400.0, -1.0, 90.0])
def test_the_times_of_another_machine_are_moved_to_this_ones_clock(off: float) -> None:
    times = Times()
    told = output((EngineCoreEventType.QUEUED, 10.0), (EngineCoreEventType.SCHEDULED, 11.0), ids=(5,))
    times.take(told, 12.0, 12.0 + off)
    assert times.timings() == Timings(10.0 + off, 11.0 + off, 12.0 + off, 12.0 + off)


def test_what_has_not_happened_has_no_time() -> None:
    assert Times().timings() == Timings(None, None, None, None)
    assert merged([]) is None
    assert merged([None, None]) is None
    parts = [Timings(2.0, 3.0, None, None), Timings(1.0, None, 5.0, 6.0), Timings(1.5, 4.0, 4.5, 9.0), None]
    assert merged(parts) == Timings(1.0, 3.0, 4.5, 9.0)


def test_whether_a_request_is_traced_is_not_its_callers_to_say() -> None:
    params = SamplingParams(extra_args={TIMED: True, "a": 1})
    mark(params, timed=False)
    assert params.extra_args == {"a": 1}
    mark(params, timed=True)
    assert params.extra_args == {"a": 1, TIMED: True}
    alone = SamplingParams(extra_args={TIMED: True})
    mark(alone, timed=False)
    assert alone.extra_args is None
