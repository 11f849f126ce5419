"""A generation waits at the end of its lease, without an id more, until it has another one; tried on each engine."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.engine import LEASE_LOW, Cancelled, Chunk, Delta, Finish, Lease, Message, OpenAIRequest, Sampling, Standing
from tests.gateways import some_terms
from tests.server import wait_for

if TYPE_CHECKING:
    from gateway.engine import Engine, EngineGeneration, Event
    from gateway.engines.vllm import VllmEngine

LONG = [Message("user", "Count from 1 to 300")]
GREEDY = Sampling(max_tokens=180, temperature=0)


class Told:
    """Counts how often a lease has said that it runs low."""

    def __init__(self) -> None:
        self.times = 0
        self.happened = threading.Event()

    def __call__(self) -> None:
        """It runs low."""
        self.times += 1
        self.happened.set()

    def lease(self, ids: int) -> Lease:
        """One that tells here."""
        return Lease(ids, self)


def begin(engine: Engine, lease: Lease | None, sampling: Sampling = GREEDY, *, stream: bool = True) -> EngineGeneration:
    return engine.generate(engine.encode(LONG), sampling, some_terms(lease), stream=stream)


def until_held(generation: EngineGeneration, ids: int) -> None:
    wait_for(lambda: all(one.ended or one.produced == ids for one in generation.standings()), "the lease's end")


def drain(generation: EngineGeneration) -> list[Event]:
    events: list[Event] = []
    while not events or not isinstance(events[-1], Finish):
        events.append(generation.next(60))
    return events


def ids_of(events: list[Event]) -> list[int]:
    return [number for event in events if isinstance(event, Delta) for number in event.token_ids]


def none_comes(generation: EngineGeneration) -> list[Event]:
    """What has come, when nothing more comes."""
    found = []
    while True:
        try:
            found.append(generation.next(0.3))
        except TimeoutError:
            return found


@pytest.mark.parametrize("first", [1, 30])
def test_it_stops_at_its_lease_and_goes_on_as_if_it_never_had(engine: Engine, first: int) -> None:
    whole = ids_of(drain(begin(engine, None)))
    told = Told()
    generation = begin(engine, told.lease(first))
    until_held(generation, first)
    events = none_comes(generation)
    assert ids_of(events) == whole[:first]
    assert generation.standings() == [Standing(first, ended=False)]
    generation.extend(told.lease(first + 20))
    until_held(generation, first + 20)
    events += none_comes(generation)
    assert ids_of(events) == whole[: first + 20]
    generation.extend(told.lease(1000))
    events += drain(generation)
    assert ids_of(events) == whole
    assert events[-1] == Finish("length", 180)


def test_a_whole_answer_has_a_lease_like_a_stream(engine: Engine) -> None:
    told = Told()
    generation = begin(engine, told.lease(10), stream=False)
    until_held(generation, 10)
    generation.extend(told.lease(40), last=True)
    assert len(ids_of(drain(generation))) == 40


def test_the_last_lease_ends_it_as_length(engine: Engine) -> None:
    generation = begin(engine, Lease(25, lambda: None))
    until_held(generation, 25)
    generation.extend(Lease(25, lambda: None), last=True)  # at its end already
    assert drain(generation)[-1] == Finish("length", 25)
    generation = begin(engine, Lease(25, lambda: None))
    generation.extend(Lease(60, lambda: None), last=True)  # on its way there
    assert drain(generation)[-1] == Finish("length", 60)
    wait_for(lambda: engine.load() == (0, 0), "an empty engine", 1)


def test_an_answer_that_ends_with_its_lease_needs_no_other_one(engine: Engine) -> None:
    generation = begin(engine, Lease(30, lambda: None), Sampling(max_tokens=30, temperature=0))
    assert drain(generation)[-1] == Finish("length", 30)


def test_it_says_once_for_each_lease_that_it_runs_low(engine: Engine) -> None:
    told = Told()
    generation = begin(engine, told.lease(2 * LEASE_LOW), Sampling(max_tokens=190, temperature=0))
    assert told.happened.wait(60)
    assert generation.standings()[0].produced >= LEASE_LOW
    until_held(generation, 2 * LEASE_LOW)
    assert told.times == 1
    told.happened.clear()
    generation.extend(told.lease(2 * LEASE_LOW + 1))  # so little that it runs low at once
    assert told.happened.wait(60)
    until_held(generation, 2 * LEASE_LOW + 1)
    assert told.times == 2
    generation.cancel()


def test_what_is_held_can_be_cancelled(engine: Engine) -> None:
    generation = begin(engine, Lease(12, lambda: None))
    until_held(generation, 12)
    generation.cancel()
    with pytest.raises(Cancelled) as cancelled:
        none_comes(generation)
    assert cancelled.value.completion_tokens == 12
    wait_for(lambda: engine.load() == (0, 0), "an empty engine", 1)


def test_who_waits_can_be_woken(engine: Engine) -> None:
    generation = begin(engine, Lease(1, lambda: None))
    until_held(generation, 1)
    none_comes(generation)
    threading.Timer(0.05, generation.wake).start()
    with pytest.raises(TimeoutError):
        generation.next(60)
    generation.cancel()


def test_others_run_beside_those_that_are_held(engine: Engine) -> None:
    held = [begin(engine, Lease(7, lambda: None)) for _ in range(4)]
    for one in held:
        until_held(one, 7)
    assert len(ids_of(drain(begin(engine, None)))) == 180
    for one in held:
        one.extend(Lease(1000, lambda: None))
    found = [ids_of(drain(one)) for one in held]
    assert found == [found[0]] * 4
    assert len(found[0]) == 180


def test_a_form_that_is_asked_for_is_kept_over_leases(vllm_engine: VllmEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    asked = Sampling(max_tokens=100, temperature=0, json_schema=schema)
    whole = ids_of(drain(begin(vllm_engine, None, asked)))
    generation = begin(vllm_engine, Lease(2, lambda: None), asked)
    for ids in range(2, 100, 3):
        until_held(generation, ids)
        generation.extend(Lease(ids + 3, lambda: None))
    assert ids_of(drain(generation)) == whole


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", [{}, {"n": 3, "temperature": 1, "seed": 5}, {"logprobs": True, "top_logprobs": 2}])
def test_a_completion_has_a_lease_for_each_of_its_sequences(
    vllm_engine: VllmEngine, fields: dict[str, object], *, stream: bool
) -> None:
    body = {
        "model": "get-data-demo", "messages": [{"role": "user", "content": "Count from 1 to 300"}], "temperature": 0,
        "max_tokens": 500, "ignore_eos": True, "stream": stream, **fields,
    }  # fmt: skip
    prepared = vllm_engine.prepare(OpenAIRequest("chat.completions", body, "0" * 32), 30)
    generation = prepared.start(some_terms(Lease(10, lambda: None)), 500)
    until_held(generation, 10)
    assert len(generation.standings()) == len(prepared.limits)
    generation.extend(Lease(30, lambda: None))
    until_held(generation, 30)
    generation.extend(Lease(30, lambda: None), last=True)
    chunks: list[Chunk] = []
    while not isinstance(event := generation.next(60), Finish):
        assert isinstance(event, Chunk)
        chunks.append(event)
    assert event == Finish("length", 30 * len(prepared.limits), event.cached_tokens)
    assert sum(chunk.tokens for chunk in chunks) == event.completion_tokens
    reasons = [one["finish_reason"] for chunk in chunks for one in json.loads(chunk.body)["choices"]]
    assert [reason for reason in reasons if reason] == ["length"] * len(prepared.limits)


def test_a_callers_own_words_are_no_lease(vllm_engine: VllmEngine) -> None:
    body = {
        "model": "get-data-demo", "prompt": "Llama 2", "temperature": 0, "max_tokens": 20, "ignore_eos": True,
        "vllm_xargs": {"gateway_lease": 3},
    }  # fmt: skip
    generation = vllm_engine.prepare(OpenAIRequest("completions", body, "0" * 32), 30).start(some_terms(), 20)
    assert generation.next(60)
    assert generation.next(60) == Finish("length", 20)
