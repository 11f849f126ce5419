"""Whose turn it is to write among the processes that share a SQLite file: a lock on a file beside it (flock(2)).

SQLite itself waits for its lock by sleeping for 1, 2, 5, 10 and up to 100 ms, for transactions that take a tenth of
one. Where several processes write all the time, most of their time would be such sleeps. The file is a courtesy: who
cannot open it, or does not know it, still has SQLite's own lock.

The lock is had by whoever asks when it is free, and that is often a process that has just let go of it. So a process
that has waited for long locks a second file, which tells the others that the next turn is its.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from gateway.store.faults import unavailable
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = 1 / 6
"""How much of its patience a process has waited when the next turn is to be its."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.002


class TurnFile:
    """One process's hold on the file. One thread at a time may use it.

    Args:
        path: of the database.
        patience: seconds to wait for the other processes.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._patience = patience
        self._turn = _Lock(path.with_name(f"{path.name}-turn"))
        self._next = _Lock(path.with_name(f"{path.name}-next"))

    @contextlib.contextmanager
    def taken(self, *, hurried: bool = False) -> Iterator[None]:
        """Around a transaction.

        Args:
            hurried: the thread has waited for long already.

        Raises:
            UnavailableError: it was another process's turn for too long.
        """
        free = self._try()
        with contextlib.nullcontext() if free else turn.away():  # see `Turns`
            if not free:
                self._wait(0.0 if hurried else self._patience * LONG)
            try:
                yield
            finally:
                self._turn.release()

    def close(self) -> None:
        """Let go of the files; they are opened again when they are needed."""
        self._turn.close()
        self._next.close()

    def _try(self) -> bool:
        """Take the turn, unless another process has it, or is to have it next."""
        if not self._turn.take():
            return False
        if self._next.take():
            self._next.release()
            return True
        self._turn.release()
        return False

    def _wait(self, long: float) -> None:
        pause, began, is_next = _FIRST_PAUSE, time.monotonic(), False
        try:
            while (waited := time.monotonic() - began) < self._patience:
                time.sleep(pause)
                if not is_next and waited > long:
                    is_next = self._next.take()
                if self._turn.take() if is_next else self._try():
                    return
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if is_next:
                self._next.release()
        raise unavailable(f"another process has written for {self._patience:g} s")


class _Lock:
    """On a file, for a process. It is free for all where the file cannot be made: no room for it, or no right."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._held = False

    def take(self) -> bool:
        """Whether nobody else has it."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        self._held = True
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._held and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._held = False

    def close(self) -> None:
        """Let go of the file, and of the lock with it where this process alone has it open."""
        self._held = False
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
