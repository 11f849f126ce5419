"""Whose turn it is to write, where a database takes one writer at a time (SQLite)."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import exc

from gateway.store.faults import unavailable
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.store.turn_file import TurnFile


class Turns:
    """The turns of one process's threads, so that one of them at a time waits for the other processes.

    Without it every thread would wait in SQLite, each with one of the few connections: those who only read would find
    none, and whoever got one late would wait once more.

    Args:
        patience: seconds that a thread waits for its turn.
        file: where the processes take turns; None where there is but one.
    """

    def __init__(self, patience: float, file: TurnFile | None = None) -> None:
        self._patience = patience
        self._file = file
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
        free = self._lock.acquire(blocking=False)
        # For all of the transaction: who may write must not wait for a turn to compute, for which others that wait to
        # write are before it.
        with nullcontext() if free else turn.away():
            if not free and not self._lock.acquire(timeout=self._patience):
                raise unavailable(f"no turn to write within {self._patience:g} s")
            try:
                if self._failures != before:
                    raise unavailable("another thread has just waited for the database in vain")
                with nullcontext() if self._file is None else self._file.taken():
                    yield
            except (exc.OperationalError, exc.TimeoutError):
                self._failures += 1
                raise
            finally:
                self._lock.release()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
