"""The front end by itself: its engine's clock, the arithmetic, the report, and a small measurement for real."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.engine import Delta, Finish, Message, Sampling
from tests.bench import arguments, frontend, frontend_report, machine
from tests.bench.load import MAX_TOKENS, Outcome, Sample
from tests.bench.paced import AT_ONCE, PACED, THREAD, PacedEngine, Times
from tests.gateways import some_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.engine import EngineGeneration, Event

STEP = 0.002


@pytest.fixture
def engine() -> Iterator[PacedEngine]:
    engine = PacedEngine(STEP)
    engine.start()
    yield engine
    engine.stop()


def ask(engine: PacedEngine, word: str, *, stream: bool, tokens: int = 20) -> EngineGeneration:
    ids = engine.encode([Message("user", f"{word}: request 1")])
    return engine.generate(ids, Sampling(max_tokens=tokens), some_terms(), stream=stream)


def events(generation: EngineGeneration) -> list[Event]:
    found: list[Event] = []
    while not found or not isinstance(found[-1], Finish):
        found.append(generation.next(5))
    return found


@pytest.mark.parametrize("word", [AT_ONCE, PACED])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_has_all_its_ids_and_tells_its_times(engine: PacedEngine, word: str, *, stream: bool) -> None:
    before = time.monotonic()
    *deltas, last = events(ask(engine, word, stream=stream))
    assert last == Finish("length", 20)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert sum(delta.tokens for delta in deltas if isinstance(delta, Delta)) == 20
    assert (len(deltas) > 1) == stream
    times = Times.of("".join(delta.text for delta in deltas if isinstance(delta, Delta)))
    # Texts hold them to the microsecond.
    assert before - 1e-6 <= times.asked <= times.first <= times.last <= time.monotonic() + 1e-6
    assert times.last - times.first == pytest.approx(19 * STEP if word == PACED else 0, abs=1e-5)


def test_the_first_id_of_a_paced_stream_does_not_wait_for_a_beat(engine: PacedEngine) -> None:
    first = ask(engine, PACED, stream=True).next(5)
    assert isinstance(first, Delta)
    assert first.tokens == 1


def test_the_clock_costs_its_own_thread(engine: PacedEngine) -> None:
    before = machine.thread_cpu_seconds(THREAD, os.getpid())
    while machine.thread_cpu_seconds(THREAD, os.getpid()) == before:
        events(ask(engine, PACED, stream=True, tokens=200))
    assert before < machine.thread_cpu_seconds(THREAD, os.getpid()) < machine.cpu_seconds(os.getpid())


def test_threads_may_end_while_their_time_is_read() -> None:
    read = threading.Event()

    def come_and_go() -> None:
        while not read.is_set():
            guests = [threading.Thread(target=lambda: None) for _ in range(8)]
            for guest in guests:
                guest.start()
            for guest in guests:
                guest.join()

    with ThreadPoolExecutor(1) as host:
        guests_came = host.submit(come_and_go)
        try:
            found = [machine.thread_cpu_seconds("nobody", os.getpid()) for _ in range(500)]
        finally:
            read.set()
        guests_came.result()
    assert found == [0] * 500


def outcome() -> Outcome:
    # Sent at 10, asked for at 10.002, its first id due at 10.01 and its last at 10.2; at its caller 3 and 5 ms later.
    text = "10.002000 10.010000" + " token" * 62 + " token 10.200000"
    whole = Sample(None, 0.205, 9, MAX_TOKENS, text, 10.0)
    streamed = Sample(0.013, 0.205, 9, MAX_TOKENS, text, 10.0)
    return Outcome(0.5, 0.05, [whole, streamed])


def test_what_the_engine_took_is_not_the_front_ends() -> None:
    firsts, totals = frontend.added(outcome())
    assert firsts == pytest.approx([0.005])
    assert totals == pytest.approx([0.007, 0.007])


def test_figures_are_for_a_cpu_second_of_the_workers() -> None:
    series = frontend.Series()
    series.add(outcome(), front_cpu=0.02, engine_cpu=0.005, others_share=0.0)
    assert series.requests_per_core == [100]
    assert series.tokens_per_core == [2 * MAX_TOKENS / 0.02]
    assert series.requests_per_second == [4]
    assert series.engine_share == [0.25]
    assert series.driver_share == [0.1]


def test_callers_of_what_takes_time_do_not_begin_together() -> None:
    paced = frontend.Cell(1, frontend.Kind(stream=True, paced=True), 16).load(quick=False)
    assert paced.spread == pytest.approx(MAX_TOKENS * frontend.STEP_SECONDS)
    assert frontend.Cell(1, frontend.Kind(stream=True, paced=False), 16).load(quick=False).spread == 0


def test_the_real_front_end_is_measured_and_reported() -> None:
    chosen = arguments.parse(["--sides", "e", "--quick", "--rounds", "1", "--levels", "2,64", "--workers", "1,2"])
    result = frontend.measure(chosen)
    assert result.rounds == 1
    assert {(cell.workers, cell.level) for cell in result.series} == {(1, 2), (1, 64), (2, 64)}
    for series in result.series.values():
        assert series.tokens_per_core[0] > 0
        assert 0 < series.total_p50[0] <= series.total_p99[0]
    text = frontend_report.render(result)
    assert f"at least {frontend_report.REQUESTS_PER_CORE} a core?" in text
    assert "2 workers, 64 at a time: whole" in text
