"""What every engine promises (`gateway.engine`), tried on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.engine import Cancelled, Delta, Finish, Message, Sampling
from tests.gateways import some_terms
from tests.server import wait_for

if TYPE_CHECKING:
    from gateway.engine import Engine, Event, Generation

LONG = [Message("user", "Count from 1 to 300")]


def drain(generation: Generation) -> list[Event]:
    """Every event to the end."""
    events: list[Event] = []
    while not events or not isinstance(events[-1], Finish):
        events.append(generation.next(60))
    return events


def test_a_generation_is_deltas_and_then_a_finish(engine: Engine) -> None:
    *deltas, finish = drain(engine.generate(engine.encode(LONG), Sampling(max_tokens=40, temperature=0), some_terms()))
    assert isinstance(finish, Finish)
    assert finish.reason == "length"
    ids = [number for delta in deltas if isinstance(delta, Delta) for number in delta.token_ids]
    assert finish.completion_tokens == len(ids) == 40
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta))


def cancelled_tokens(generation: Generation) -> tuple[int, int]:
    """How many ids came before the end of a cancelled generation, and how many the engine says it has produced."""
    seen = 0
    try:
        while True:
            event = generation.next(60)
            assert isinstance(event, Delta), "it ended by itself"
            seen += len(event.token_ids)
            generation.cancel()
    except Cancelled as cancelled:
        return seen, cancelled.completion_tokens


def test_a_cancelled_generation_says_what_was_produced(engine: Engine) -> None:
    generation = engine.generate(engine.encode(LONG), Sampling(max_tokens=1000, temperature=0), some_terms())
    seen, produced = cancelled_tokens(generation)
    assert 0 < seen <= produced < 1000
    wait_for(lambda: engine.load() == (0, 0), "an empty engine", 1)


def test_a_generation_may_be_cancelled_before_its_first_token(engine: Engine) -> None:
    generation = engine.generate(engine.encode(LONG), Sampling(max_tokens=1000, temperature=0), some_terms())
    generation.cancel()
    generation.cancel()
    seen, produced = cancelled_tokens(generation)
    assert seen <= produced < 1000
    wait_for(lambda: engine.load() == (0, 0), "an empty engine", 1)


def test_cancelling_a_finished_generation_changes_nothing(engine: Engine) -> None:
    generation = engine.generate(engine.encode(LONG), Sampling(max_tokens=3, temperature=0), some_terms())
    drain(generation)
    generation.cancel()
    assert engine.load() == (0, 0)


def test_waiting_is_bounded_by_its_timeout(engine: Engine) -> None:
    generation = engine.generate(engine.encode(LONG), Sampling(max_tokens=2, temperature=0), some_terms())
    drain(generation)
    with pytest.raises(TimeoutError):
        generation.next(0.01)


def test_generations_run_side_by_side(engine: Engine) -> None:
    ids = engine.encode(LONG)
    together = [engine.generate(ids, Sampling(max_tokens=20, temperature=0), some_terms()) for _ in range(8)]
    texts = {"".join(event.text for event in drain(one) if isinstance(event, Delta)) for one in together}
    assert len(texts) == 1


def test_models_tell_their_context(engine: Engine) -> None:
    model = engine.models()[0]
    assert model.context_length > 100
    assert engine.status().ready
