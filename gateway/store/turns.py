"""Whose turn it is to write, where a database takes one writer at a time (SQLite)."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import exc

from gateway.store.faults import unavailable
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.store.turn_file import TurnFile

LONG = 1 / 3
"""How much of its patience a thread has waited when nobody may be before it any more."""


class Turns:
    """The turns of one process's threads, so that one of them at a time waits for the other processes.

    Without it every thread would wait in SQLite, each with one of the few connections: those who only read would find
    none, and whoever got one late would wait once more.

    A thread that comes when it is nobody's turn goes before those that wait: it computes already, while they would have
    to be woken first. That holds until the first of them has waited for long.

    Args:
        patience: seconds that a thread waits for its turn.
        file: where the processes take turns; None where there is but one.
        clock: monotonic seconds.
    """

    def __init__(
        self, patience: float, file: TurnFile | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()  # for a moment, around what follows
        self._taken = False
        self._waiting: deque[_Waiting] = deque()
        self._failures = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Around a transaction that writes.

        Raises:
            UnavailableError: it was nobody's turn for too long, or whoever's turn it was meanwhile could not write:
                then this thread would wait as long for the same.
        """
        before = self._failures
        waiting = self._enter()
        # For all of the transaction: who may write must not wait for a turn to compute, for which others that wait to
        # write are before it.
        with nullcontext() if waiting is None else turn.away():
            if waiting is not None:
                self._wait(waiting)
            try:
                if self._failures != before:
                    raise unavailable("another thread has just waited for the database in vain")
                hurried = waiting is not None and waiting.has_it
                with nullcontext() if self._file is None else self._file.taken(hurried=hurried):
                    yield
            except (exc.OperationalError, exc.TimeoutError):
                self._failures += 1
                raise
            finally:
                self._leave()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _enter(self) -> _Waiting | None:
        """None where it is this thread's turn at once."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return None
            waiting = _Waiting(self._clock())
            self._waiting.append(waiting)
            return waiting

    def _wait(self, waiting: _Waiting) -> None:
        deadline = waiting.since + self._patience
        while True:
            waiting.called.acquire(timeout=max(0.0, deadline - self._clock()))
            with self._lock:
                if waiting.has_it:
                    return
                if not self._taken:
                    self._taken = True
                    self._waiting.remove(waiting)
                    return
                if self._clock() >= deadline:
                    self._waiting.remove(waiting)
                    raise unavailable(f"no turn to write within {self._patience:g} s")

    def _leave(self) -> None:
        with self._lock:
            self._taken = False
            if not self._waiting:
                return
            first = self._waiting[0]
            if self._clock() - first.since > LONG * self._patience:
                self._waiting.popleft()
                first.has_it = self._taken = True
            if first.called.locked():
                first.called.release()


class _Waiting:
    """A thread that waits.

    Attributes:
        since: when it began.
        called: released when it should look again.
        has_it: whether the turn is its already.
    """

    __slots__ = ("called", "has_it", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.called = threading.Lock()
        self.called.acquire()
        self.has_it = False
