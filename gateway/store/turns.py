"""Whose turn it is to write, where a database takes one writer at a time (SQLite)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import exc

from gateway.store.faults import unavailable
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turns:
    """The turns of one process's threads, so that one of them at a time waits for the other processes.

    Without it every thread would wait in SQLite, each with one of the few connections: those who only read would find
    none, and whoever got one late would wait once more.

    Args:
        patience: seconds that a thread waits for its turn.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._failures = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Around a transaction that writes.

        Raises:
            UnavailableError: it was nobody's turn for too long, or whoever's turn it was meanwhile could not write:
                then this thread would wait as long for the same.
        """
        before = self._failures
        if not self._lock.acquire(blocking=False) and not self._wait():
            raise unavailable(f"no turn to write within {self._patience:g} s")
        try:
            if self._failures != before:
                raise unavailable("another thread has just waited for the database in vain")
            yield
        except (exc.OperationalError, exc.TimeoutError):
            self._failures += 1
            raise
        finally:
            self._lock.release()

    def _wait(self) -> bool:
        with turn.away():
            return self._lock.acquire(timeout=self._patience)
