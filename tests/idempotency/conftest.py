"""Calls with a key, on both databases, as one or several processes make them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from gateway.idempotency import Idempotency
from gateway.store.tables import kept_answers
from tests.limits.conftest import MODEL, Book, book, make_book
from tests.store.conftest import clock, store, subscriptions, url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from gateway.admission import Admission
    from gateway.products import Limits
    from gateway.sealing import KeptAnswer
    from gateway.store import Store

__all__ = ["book", "clock", "store", "subscriptions", "url"]

SECRET = b"a secret that only the tests know"
REQUEST = (b"Get Data", b"", b'{"prompt": "Hello"}')
ANSWER = b'{"generated_text": "Good day to you."}'


@dataclass
class Side:
    """One process's calls with keys."""

    book: Book

    def __post_init__(self) -> None:
        self.idempotency = Idempotency(self.book.admissions, SECRET)

    def open(
        self,
        admission: Admission,
        key: str = "key",
        request: Sequence[bytes] = REQUEST,
        *,
        patience: float = 60,
        gone: threading.Event | None = None,
    ) -> KeptAnswer | None:
        """A call that comes with a key."""
        return self.idempotency.open(admission, key, request, patience=patience, gone=gone or threading.Event())

    def waiting(self) -> int:
        """How many calls wait for another one's end."""
        return 64 - self.book.admissions.repeats._value  # noqa: SLF001 - a semaphore does not tell otherwise

    def begun(self, limits: Limits, key: str = "key", prompt: int = 10, most: int = 50) -> Admission:
        """A call with a key that has been let into the engine."""
        admission = self.book.call(limits)
        assert self.open(admission, key) is None
        admission.admit(MODEL, prompt, [most])
        return admission

    def finish(self, admission: Admission, completion: int, answer: bytes = ANSWER) -> None:
        """Its answer is whole."""
        assert admission.recording is not None
        admission.recording.add(answer)
        admission.recording.finish("application/json")
        self.book.finish(admission, completion)

    def replayed(self, limits: Limits, key: str = "key", request: Sequence[bytes] = REQUEST) -> KeptAnswer | None:
        """What a call that comes now gets without being made; settled as a request settles it."""
        admission = self.book.call(limits)
        try:
            return self.open(admission, key, request)
        finally:
            admission.settle(200)


@pytest.fixture
def side(book: Book) -> Side:
    return Side(book)


@pytest.fixture
def other(store: Store, book: Book) -> Side:
    """Another process with the same store and the same clock."""
    return Side(make_book(store, book.clock))


def kept_rows_of(store: Store) -> list[Row[Any]]:
    """All that is kept."""
    with store.reading() as connection:
        return list(connection.execute(select(kept_answers)))
