"""The tokens of the last minute: kept as a sum that moves on, and always what the ledger's rows come to."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, update

from gateway import ledger
from gateway.products import Limits
from gateway.rates.windows import SKEW
from gateway.store import call_rows, open_store
from gateway.store.tables import calls
from tests.limits.conftest import MODEL, make_book
from tests.store.conftest import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.admission import Admission
    from tests.limits.conftest import Book

MINUTE = timedelta(seconds=60)
ENDED = {"prompt_tokens": 1, "completion_tokens": 2, "status": 200}


def kept(book: Book) -> int:
    """The tokens of the last minute as a call is told of them."""
    with book.admissions.ledger.account(book.call(Limits()).call) as account:
        return account.tokens_in_last_minute()


def summed(book: Book) -> int:
    """The same, from all rows."""
    now = book.clock()
    tokens = func.coalesce(func.sum(calls.c.prompt_tokens + calls.c.completion_tokens), 0)
    ended = select(tokens).where(
        calls.c.subscription_id == book.sid,
        calls.c.ended_at > now - MINUTE,
        calls.c.ended_at <= now + timedelta(seconds=SKEW),
    )
    with book.store.reading() as connection:
        return int(connection.execute(ended).scalar_one())


class History:
    """Anything that can become of calls, in an order that a seed decides.

    Args:
        books: of several processes.
        pauses: seconds that may pass at a time.
    """

    def __init__(self, books: Sequence[Book], seed: int, pauses: Sequence[float]) -> None:
        self.books = books
        self.clock = books[0].clock
        self.chance = random.Random(seed)  # noqa: S311
        self.pauses = pauses
        self.begun: list[tuple[Book, Admission]] = []
        self.running: list[tuple[Book, Admission]] = []
        self.lost: list[tuple[Book, Admission]] = []
        self.failed: list[tuple[Book, Admission]] = []
        self.losses = 0

    def step(self) -> None:
        """One thing happens."""
        self.chance.choices(
            [self.begin, self.admit, self.end, self.lose, self.come_back, self.waive, self.pass_time, self.set_clock],
            [8, 8, 8, 2, 1, 1, 8, 0.5],
        )[0]()

    def begin(self) -> None:
        """A call has its row, and nothing of its tokens is known."""
        book = self.chance.choice(self.books)
        call = book.call(Limits(max_concurrency=1000))
        call.open()
        self.begun.append((book, call))

    def admit(self) -> None:
        """It is let in."""
        if self.begun:
            book, call = self._any(self.begun)
            call.admit(MODEL, self.chance.randrange(1, 50), [50])
            self.running.append((book, call))

    def end(self) -> None:
        """It is over, in one of several ways."""
        if self.running:
            book, call = self._any(self.running)
            status = self.chance.choice([200, 499, 500])
            book.finish(call, self.chance.randrange(50), status)
            if status == 500:
                self.failed.append((book, call))

    def lose(self) -> None:
        """Its process is taken for dead, before or after it was let in."""
        of = self.chance.choice([self.begun, self.running])
        if of:
            book, call = self.chance.choice(of)
            lose = self.chance.choice(self.books).admissions.ledger.lose
            self.losses += lose({call.call.id: self.chance.choice([None, 7])})
            if of is self.running:
                of.remove((book, call))
                self.lost.append((book, call))

    def come_back(self) -> None:
        """It is not dead, and the call ends."""
        if self.lost:
            book, call = self._any(self.lost)
            book.finish(call, self.chance.randrange(50))

    def waive(self) -> None:
        """The call is made again with its Idempotency-Key."""
        if self.failed:
            book, admission = self._any(self.failed)
            with book.admissions.ledger.account(admission.call) as account:
                connection: Any = account._connection  # noqa: SLF001
                row = call_rows.find(connection, admission.call.id)
                assert row is not None
                if row.ended_at is not None:
                    ledger._waive(connection, row)  # noqa: SLF001

    def pass_time(self) -> None:
        """Nothing happens for a while."""
        self.clock.advance(seconds=self.chance.choice(self.pauses))

    def set_clock(self) -> None:
        """Somebody puts it right, by a little or by a lot."""
        self.clock.advance(seconds=-self.chance.choice([0.5, 30.0, 90.0]))

    def _any(self, of: list[tuple[Book, Admission]]) -> tuple[Book, Admission]:
        return of.pop(self.chance.randrange(len(of)))


@pytest.mark.parametrize("pauses", [(0.0, 0.001, 0.1, 0.4, 2.0), (0.0, 0.001, 0.4, 3.0, 20.0, 59.0, 300.0)])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_what_the_rows_come_to_whatever_happens(book: Book, seed: int, pauses: list[float]) -> None:
    history = History([book, make_book(book.store, book.clock)], seed, pauses)
    found = set()
    for _ in range(300):
        history.step()
        if history.chance.random() < 0.5:  # it is not asked for after each
            answers = [kept(book), kept(book)]
            assert answers == 2 * [summed(book)]
            found.update(answers)
    assert len(found) > 20
    assert history.losses


def test_another_processs_calls_are_in_it(book: Book) -> None:
    other = make_book(book.store, book.clock)
    assert kept(book) == 0
    other.finish(other.admitted(Limits(), prompt=10), 5)
    assert kept(book) == kept(other) == 15


@pytest.mark.parametrize("tokens", [-5, 5])
def test_rows_that_somebody_else_has_changed_are_seen_within_a_minute(book: Book, tokens: int) -> None:
    book.finish(book.admitted(Limits(), prompt=10), 5)
    assert kept(book) == 15
    with book.store.writing() as connection:
        connection.execute(update(calls).values(completion_tokens=calls.c.completion_tokens + tokens))
    book.clock.advance(seconds=59)
    assert kept(book) in {15, 15 + tokens}
    book.finish(book.admitted(Limits(), prompt=1), 1)
    book.clock.advance(seconds=1)
    assert kept(book) == summed(book) == 2
    book.clock.advance(seconds=1)
    assert kept(book) == summed(book) == 2


@pytest.mark.parametrize("moves", [False, True])
def test_to_ask_takes_no_longer_where_more_calls_have_ended(tmp_path: Path, *, moves: bool) -> None:
    """Counted in instructions of SQLite's machine, which are the same on any computer."""
    few, many = (instructions(tmp_path / f"{number}.sqlite3", number, moves=moves) for number in (10, 3000))
    assert 0 < many <= 1.1 * few


def instructions(file: Path, number: int, *, moves: bool) -> int:
    """Those of one question where so many calls have ended in the last minute."""
    clock, done = Clock(), [0]
    store = open_store(f"sqlite:///{file}")
    book = make_book(store, clock)
    with store.writing() as connection:
        for _ in range(number):
            call_rows.add(connection, {**ledger._row(book.call(Limits()).call), **ENDED, "ended_at": clock()})  # noqa: SLF001
    assert [kept(book), kept(book)] == 2 * [3 * number]
    clock.advance(seconds=1 if moves else 0.5)

    def count() -> int:
        done[0] += 1
        return 0

    with book.admissions.ledger.account(book.call(Limits()).call) as account:
        sqlite: Any = account._connection._cursor.connection  # noqa: SLF001
        sqlite.set_progress_handler(count, 1)
        assert account.tokens_in_last_minute() == 3 * number
        sqlite.set_progress_handler(None, 1)
    store.close()
    return done[0]
