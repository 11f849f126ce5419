"""Which of several workers would serve a request that comes now. They share a port, and the kernel does not know."""

from __future__ import annotations

import mmap

_PLACES = mmap.PAGESIZE
_FREE, _SHUT, _OPEN = b"\0", b"\1", b"\2"


class Openings:
    """A byte for each worker, in memory that the master has made before it forks them.

    A byte has one writer at a time, and whoever reads an old one takes a connection too many or too few: no locks.
    """

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, _PLACES)

    def take(self) -> int:
        """In the master: a place for a worker that is to be forked."""
        place = self._bytes.find(_FREE)
        self._bytes[place : place + 1] = _SHUT
        return place

    def leave(self, place: int) -> None:
        """In the master: its worker has ended, however it did."""
        self._bytes[place : place + 1] = _FREE

    def tell(self, place: int, *, serves: bool) -> None:
        """In a worker: whether it would serve a request now."""
        self._bytes[place : place + 1] = _OPEN if serves else _SHUT

    def anybody(self) -> bool:
        """In a worker: whether any would."""
        return self._bytes.find(_OPEN) >= 0
