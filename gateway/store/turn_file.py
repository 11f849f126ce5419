"""Whose turn it is to write among the processes that share a SQLite file: a lock on a file beside it (flock(2)).

SQLite itself waits for its lock by sleeping for 1, 2, 5, 10 and up to 100 ms, for transactions that take a tenth of
one. Where several processes write all the time, most of their time would be such sleeps. The file is a courtesy: who
cannot open it, or does not know it, still has SQLite's own lock.
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

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.002


class TurnFile:
    """One process's hold on the file. One thread at a time may use it.

    Args:
        path: of the database.
        patience: seconds to wait for the other processes.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path.with_name(f"{path.name}-turn")
        self._patience = patience
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Around a transaction. Raises UnavailableError where it was another process's turn for too long."""
        descriptor = self._open()
        free = descriptor is None or _locked(descriptor)
        with contextlib.nullcontext() if free else turn.away():  # see `Turns`
            if descriptor is not None and not free:
                self._wait(descriptor)
            try:
                yield
            finally:
                if descriptor is not None and self._descriptor == descriptor:  # else a fork has let go of it
                    fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int | None:
        if self._descriptor is None:
            with contextlib.suppress(OSError):  # no room for it, or no right to make it
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def _wait(self, descriptor: int) -> None:
        pause, deadline = _FIRST_PAUSE, time.monotonic() + self._patience
        while time.monotonic() < deadline:
            time.sleep(pause)
            if _locked(descriptor):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise unavailable(f"another process has written for {self._patience:g} s")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
