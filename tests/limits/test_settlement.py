"""Nothing is settled twice, too late, or not at all, whatever the store does meanwhile."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from gateway.errors import InternalError, PermissionDeniedError, RateLimitedError, UnavailableError
from gateway.keeper import Keeper
from gateway.keys import KeyHasher
from gateway.periods import Period
from gateway.products import Limits, Quota, Rate
from gateway.store import Store, call_rows, open_store, quota_rows
from gateway.subscriptions import Subscriptions
from tests.limits.conftest import MODEL, Book, make_book, tokens
from tests.server import wait_for
from tests.store.conftest import PEPPER, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAILY = Quota(100, Period.DAY)


def calls_used(book: Book) -> int:
    with book.admissions.ledger.account(book.call(Limits()).call) as account:
        return account.used("calls", DAILY)[0]


@contextmanager
def away(book: Book, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[list[None]]:
    """No transaction that writes gets through; how many were tried."""
    tried: list[None] = []

    def writing(_store: Store) -> None:
        tried.append(None)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(book.store), "writing_directly", writing)
        yield tried


@contextmanager
def answer_lost(book: Book, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is written is there, but nobody hears of it, as where a connection breaks behind a commit."""
    writing = type(book.store).writing_directly

    @contextmanager
    def broken(store: Store) -> Iterator[Any]:
        with writing(store) as connection:
            yield connection
        raise UnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(book.store), "writing_directly", broken)
        yield


def test_a_refused_call_that_was_written_unheard_is_written_once(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    calls_used(book)  # from here on a sum that is kept
    call = book.call(Limits())
    with answer_lost(book, monkeypatch):
        call.settle(400)
    assert book.admissions.ledger.write_late() == 0
    assert calls_used(book) == 1


def test_a_call_that_began_unheard_is_ended(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(max_concurrency=1)
    call = book.call(limits)
    with answer_lost(book, monkeypatch), pytest.raises(UnavailableError):
        call.open()
    call.settle(503)
    book.admissions.ledger.write_late()
    assert book.held() == (0, 0)
    assert calls_used(book) == 0


def test_nobody_waits_twice_for_a_ledger_that_is_away(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    call = book.call(Limits(max_concurrency=1))
    with away(book, monkeypatch, UnavailableError("away")) as tried:
        with pytest.raises(UnavailableError):
            call.open()
        call.settle(503)
        assert len(tried) == 1
    assert book.admissions.ledger.write_late() == 0
    with book.store.reading() as connection:
        row = call_rows.find(connection, call.call.id)
    assert row is not None
    assert row.status == 503


def test_windows_in_a_store_that_is_away_are_waited_for_once(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(*_arguments: object) -> None:
        raise UnavailableError("away")

    monkeypatch.setattr(book.admissions.rates, "take", take)
    call = book.call(Limits(rate=Rate(1, 60)))
    with away(book, monkeypatch, UnavailableError("away")) as tried:
        with pytest.raises(UnavailableError):
            call.open()
        call.settle(503)
        assert tried == []
    assert book.admissions.ledger.write_late() == 0


def test_an_end_that_no_store_takes_does_not_keep_others_from_it(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = book.admitted(tokens(100)), book.admitted(tokens(100), 10, 10)
    with away(book, monkeypatch, UnavailableError("away")):
        book.finish(bad, 5)
        book.finish(good, 5)
    end = call_rows.end

    def refuse(connection: Any, call: str, values: Any) -> bool:
        if call == bad.call.id:
            raise InternalError("a value that no column takes")
        return end(connection, call, values)

    monkeypatch.setattr(call_rows, "end", refuse)
    assert book.admissions.ledger.write_late() == 0
    with book.store.reading() as connection:
        row = call_rows.find(connection, good.call.id)
    assert row is not None
    assert row.status == 200


def test_a_call_whose_end_is_faulty_is_not_shown_as_alive(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    call = book.admitted(tokens(100))
    with away(book, monkeypatch, InternalError("a bug")), pytest.raises(InternalError):
        call.settle(200)
    assert len(book.admissions.running) == 0


def test_a_beat_that_fails_is_not_the_last(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    beaten: list[None] = []

    def note() -> None:
        beaten.append(None)
        raise KeyError("a bug")

    monkeypatch.setattr("gateway.keeper.BEAT_SECONDS", 0.001)
    monkeypatch.setattr(book.admissions, "note", note)
    keeper = Keeper(book.admissions)
    keeper.start()
    wait_for(lambda: len(beaten) > 1, "another beat")
    keeper.stop()


@pytest.mark.parametrize("kept", [True, False], ids=["a kept sum", "a new sum"])
@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_what_was_refused_or_failed_counts_against_no_quota_of_calls(book: Book, status: int, *, kept: bool) -> None:
    if kept:
        calls_used(book)
    book.call(Limits()).settle(status)  # before it had a row
    begun = book.call(Limits(max_concurrency=1))
    begun.open()
    begun.settle(status)
    assert calls_used(book) == 0


def test_a_caller_that_hammers_at_a_quota_does_not_use_up_the_next_one(book: Book) -> None:
    for _ in range(3):
        call = book.call(Limits(call_quota=Quota(1, Period.DAY)))
        try:
            call.open()
            call.settle(200)
        except PermissionDeniedError:
            call.settle(403)
    book.call(Limits(call_quota=Quota(2, Period.DAY))).open()


@pytest.mark.parametrize("kept", [True, False], ids=["a kept sum", "a new sum"])
@pytest.mark.parametrize("produced", [0, 5])
def test_a_lost_call_counts_where_it_produced_something(book: Book, produced: int, *, kept: bool) -> None:
    if kept:
        calls_used(book)
    call = book.admitted(Limits())
    book.admissions.ledger.lose({call.call.id: produced})
    assert calls_used(book) == (1 if produced else 0)
    book.finish(call, 7)  # it lived
    assert calls_used(book) == 1
    assert book.used(DAILY) == 17


def test_what_is_left_is_never_below_nothing(book: Book) -> None:
    wide = Limits(max_concurrency=3, call_quota=Quota(9, Period.DAY), token_quota=DAILY, tokens_per_minute=100)
    for _ in range(3):
        book.admitted(wide, 10, 20)
    narrow = Limits(
        max_concurrency=1, call_quota=Quota(1, Period.DAY), token_quota=Quota(5, Period.DAY), tokens_per_minute=5
    )
    assert {name: window.remaining for name, window in book.call(narrow).left().items()} == {
        "max_concurrency": 0,
        "call_quota": 0,
        "token_quota": 0,
        "tokens_per_minute": 0,
    }


def test_tokens_a_minute_and_a_quota_count_what_runs_each_in_its_own_window(book: Book) -> None:
    limits = Limits(tokens_per_minute=100, token_quota=Quota(100, Period.HOUR))
    book.admitted(limits, 10, 50)
    book.clock.advance(hours=1)
    call = book.call(limits)
    left = call.left()
    assert (left["tokens_per_minute"].remaining, left["token_quota"].remaining) == (40, 100)
    with pytest.raises(RateLimitedError, match="reserved by calls that run"):
        call.admit(MODEL, 45, [5])


@pytest.fixture
def pg_book(postgresql_url: str) -> Iterator[Book]:
    """On the database on which two transactions write at the same time."""
    store = open_store(postgresql_url)
    clock = Clock()
    Subscriptions(store, KeyHasher(PEPPER), clock).create("acme", "unlimited", sid="acme")
    yield make_book(store, clock)
    store.close()


def beside(book: Book, action: Callable[[], object]) -> threading.Thread:
    """Do something in another transaction: until it is done, or waits for this one."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()

    def done_or_waits() -> bool:
        with book.store.reading() as connection:
            waits = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()
        return bool(waits) or not thread.is_alive()

    wait_for(done_or_waits, "the other transaction")
    return thread


def test_a_call_that_ends_while_another_is_decided_is_seen_as_running_or_as_ended(pg_book: Book) -> None:
    running = pg_book.admitted(tokens(100), 10, 50)
    with pg_book.admissions.ledger.account(pg_book.call(tokens(100)).call) as account:
        used, window = account.used("tokens", DAILY)
        ending = beside(pg_book, lambda: pg_book.finish(running, 50))
        assert used + account.running(window).reserved_in_window == 60
    ending.join(10)
    assert pg_book.used(DAILY) == 60


def test_a_sum_that_is_made_while_a_call_ends_has_it(pg_book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    running = pg_book.admitted(Limits(), 10, 50)
    summing: list[threading.Thread] = []
    use = quota_rows.use_tokens

    def slow(*given: Any) -> None:
        use(*given)
        summing.append(beside(pg_book, lambda: pg_book.used(DAILY)))

    with monkeypatch.context() as patch:
        patch.setattr(quota_rows, "use_tokens", slow)
        pg_book.finish(running, 50)
    summing[0].join(10)
    assert pg_book.used(DAILY) == 60


def test_a_minutes_sum_that_moves_on_while_a_call_ends_has_it(pg_book: Book) -> None:
    def minute() -> int:
        with pg_book.admissions.ledger.account(pg_book.call(Limits()).call) as account:
            return account.tokens_in_last_minute()

    running = pg_book.admitted(Limits(), 10, 50)
    assert [minute(), minute()] == [0, 0]
    pg_book.clock.advance(seconds=2)
    with pg_book.admissions.ledger.account(pg_book.call(Limits()).call) as account:
        assert account.tokens_in_last_minute() == 0
        ending = beside(pg_book, lambda: pg_book.finish(running, 50))
    ending.join(10)
    assert minute() == 60


def test_a_call_that_ends_while_it_is_taken_for_dead_is_charged_once(
    pg_book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = pg_book.admitted(tokens(100), 10, 50)
    pg_book.used(DAILY)
    find, found = call_rows.find, []

    def slow(connection: Any, wanted: str) -> Any:
        row = find(connection, wanted)
        found.append(row)
        if len(found) == 1:
            pg_book.finish(call, 30)
        return row

    with monkeypatch.context() as patch:
        patch.setattr(call_rows, "find", slow)
        assert pg_book.admissions.ledger.lose({call.call.id: 20}) == 0
    assert pg_book.used(DAILY) == 40
