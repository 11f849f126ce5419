"""How the thread that serves a call keeps its lease ahead of the engine, over a scripted one and a real ledger."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gateway.allowances import BLOCK
from gateway.engine import LEASE_LOW, Cancelled, Delta, Message
from gateway.engines.scripted import Script, ScriptedEngine
from gateway.errors import DeadlineExceededError, UnavailableError
from gateway.products import Limits, Product
from gateway.service import GenerateRequest
from gateway.store import call_rows
from gateway.subscription import Caller
from tests.gateways import make_gateway
from tests.limits.conftest import Book, make_book, tokens
from tests.server import wait_for

if TYPE_CHECKING:
    from gateway.admission import Admission
    from gateway.answer import Answer
    from gateway.service import Gateway
    from gateway.store import Store

PROMPT, LENGTH = 10, 400


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda _prompt: Script("x" * LENGTH), context_length=2000)


@pytest.fixture
def gateway(engine: ScriptedEngine, store: Store, book: Book) -> Gateway:
    return make_gateway(engine, store, clock=book.clock)


def begin(gateway: Gateway, limits: Limits) -> tuple[Admission, Answer]:
    caller = Caller("acme", "acme", Product("p", "p", limits), "primary")
    admission = gateway.call(caller, "Get Data", "0" * 32)
    return admission, gateway.generate(admission, GenerateRequest((Message("user", "p" * PROMPT),)))


def row(book: Book, admission: Admission) -> tuple[int, int]:
    """What a call has reserved, and what is known of what it has produced."""
    with book.store.reading() as connection:
        found = call_rows.find(connection, admission.call.id)
    assert found is not None
    return found.reserved, found.completion_tokens


def test_without_a_limit_on_tokens_there_is_no_lease(gateway: Gateway, engine: ScriptedEngine) -> None:
    admission, answer = begin(gateway, Limits(max_tokens=300))
    assert engine.terms[-1].lease is None
    assert sum(isinstance(event, Delta) for event in answer) == 300
    admission.settle(200)


def test_an_answer_shorter_than_a_block_has_no_lease(gateway: Gateway, engine: ScriptedEngine) -> None:
    _, answer = begin(gateway, Limits(max_tokens=BLOCK, token_quota=tokens(1000).token_quota))
    assert engine.terms[-1].lease is None
    answer.close()


def test_where_there_is_plenty_there_is_no_lease(gateway: Gateway, engine: ScriptedEngine) -> None:
    _, answer = begin(gateway, tokens(1_000_000))
    assert engine.terms[-1].lease is None
    answer.close()


def test_the_next_block_is_reserved_before_the_last_one_is_used_up(
    gateway: Gateway, engine: ScriptedEngine, book: Book
) -> None:
    engine.script = lambda _prompt: Script("x" * LENGTH, hold_after=BLOCK - LEASE_LOW)
    admission, answer = begin(gateway, tokens(1000))
    assert row(book, admission) == (PROMPT + BLOCK, 0)
    reading = threading.Thread(target=lambda: list(answer), daemon=True)
    reading.start()
    wait_for(lambda: row(book, admission) == (PROMPT + 2 * BLOCK, BLOCK - LEASE_LOW), "the next block")
    engine.release.set()
    reading.join(10)
    admission.settle(200)
    assert (admission.usage.finish_reason, admission.usage.completion_tokens) == ("stop", LENGTH)
    assert book.held() == (0, 0)


def test_who_holds_what_another_needs_wakes_it_when_it_ends(
    gateway: Gateway, engine: ScriptedEngine, book: Book
) -> None:
    other = book.admitted(tokens(500), PROMPT, 128)
    limits = tokens(PROMPT + LENGTH + PROMPT + 100)
    gateway._admissions.running.add(other)  # noqa: SLF001 - of the same process
    other._all = gateway._admissions  # noqa: SLF001
    admission, answer = begin(gateway, limits)
    reading = threading.Thread(target=lambda: list(answer), daemon=True)
    reading.start()
    wait_for(lambda: admission.produced == admission.leased and admission.wake is not None, "the end of what there is")
    assert engine.running == 1
    book.finish(other, 100)
    reading.join(10)
    assert admission.usage.finish_reason == "stop"
    admission.settle(200)
    assert book.used(limits.token_quota) == PROMPT + LENGTH + PROMPT + 100  # type: ignore[arg-type]


def test_another_process_that_gives_back_is_noticed(gateway: Gateway, book: Book) -> None:
    other = book.admitted(tokens(500), PROMPT, 128)
    admission, answer = begin(gateway, tokens(PROMPT + LENGTH + PROMPT + 100))
    reading = threading.Thread(target=lambda: list(answer), daemon=True)
    reading.start()
    wait_for(lambda: admission.produced == admission.leased and admission.wake is not None, "the end of what there is")
    book.finish(other, 100)
    reading.join(10)
    assert admission.usage.finish_reason == "stop"
    admission.settle(200)


def test_calls_that_wait_for_each_other_end_when_the_quota_is_really_spent(gateway: Gateway, book: Book) -> None:
    quota = 3 * PROMPT + 500
    made = [begin(gateway, tokens(quota)) for _ in range(3)]
    threads = [threading.Thread(target=lambda one=answer: list(one), daemon=True) for _, answer in made]
    for thread in threads:
        thread.start()
    for (admission, _), thread in zip(made, threads, strict=True):
        thread.join(30)
        admission.settle(200)
    assert {admission.usage.finish_reason for admission, _ in made} <= {"length", "stop"}
    assert sum(admission.usage.total_tokens for admission, _ in made) == quota
    assert book.held() == (0, 0)


def test_a_ledger_that_is_away_holds_an_answer_and_does_not_end_it(
    gateway: Gateway, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission, answer = begin(gateway, tokens(1000))
    asked = threading.Event()

    def away(_: object) -> None:
        asked.set()
        raise UnavailableError("away")

    reading = threading.Thread(target=lambda: list(answer), daemon=True)
    with monkeypatch.context() as patch:
        patch.setattr(type(book.store), "writing_directly", away)
        reading.start()
        wait_for(lambda: admission.noted == BLOCK, "the lease's end")
        assert asked.is_set()
    reading.join(10)
    assert (admission.usage.finish_reason, admission.usage.completion_tokens) == ("stop", LENGTH)
    admission.settle(200)
    assert book.held() == (0, 0)


def test_what_is_held_can_be_hung_up_on(gateway: Gateway, engine: ScriptedEngine, book: Book) -> None:
    book.admitted(tokens(500), PROMPT, 128)
    admission, answer = begin(gateway, tokens(300))
    found: list[BaseException] = []

    def listen() -> None:
        try:
            list(answer)
        except Cancelled as cancelled:
            found.append(cancelled)

    reading = threading.Thread(target=listen, daemon=True)
    reading.start()
    wait_for(lambda: admission.produced == admission.leased and admission.wake is not None, "the end of what there is")
    answer.cancel()
    reading.join(10)
    assert len(found) == 1
    assert engine.running == 0
    assert admission.usage.completion_tokens == admission.leased
    admission.settle(499)


def test_what_is_held_has_a_deadline(engine: ScriptedEngine, store: Store, book: Book) -> None:
    book.admitted(tokens(500), PROMPT, 128)
    gateway = make_gateway(engine, store, clock=book.clock, timeout=0.2, monotonic=lambda: 0.0)
    admission, answer = begin(gateway, tokens(300))
    with pytest.raises(DeadlineExceededError):
        list(answer)
    assert engine.running == 0
    admission.settle(504)
    assert book.held() == (1, PROMPT + 128)


def test_a_process_that_was_taken_for_dead_gets_no_more(
    gateway: Gateway, engine: ScriptedEngine, store: Store, book: Book
) -> None:
    engine.script = lambda _prompt: Script("x" * LENGTH, hold_after=20)
    admission, answer = begin(gateway, tokens(1000))
    events = iter(answer)
    for _ in range(20):
        next(events)
    make_book(store, book.clock).admissions.ledger.lose({admission.call.id: 20})
    engine.release.set()
    list(events)
    assert (admission.usage.finish_reason, admission.usage.completion_tokens) == ("length", BLOCK)
    admission.settle(200)
    assert book.used(tokens(1000).token_quota) == PROMPT + BLOCK  # type: ignore[arg-type]


def test_what_nobody_reads_yet_is_noted_as_well(gateway: Gateway, engine: ScriptedEngine, book: Book) -> None:
    engine.script = lambda _prompt: Script("x" * LENGTH, hold_after=100)
    admission, answer = begin(gateway, tokens(1000))
    reading = threading.Thread(target=lambda: list(answer), daemon=True)
    reading.start()
    wait_for(lambda: admission.noted > 0, "a note")
    admission.usage.completion_tokens = 0  # as of a whole answer, whose ids come at its end
    gateway._admissions.note()  # noqa: SLF001
    assert row(book, admission)[1] == admission.noted
    engine.release.set()
    reading.join(10)
    admission.settle(200)
