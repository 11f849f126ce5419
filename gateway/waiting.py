"""Where calls wait for tokens that others have reserved: in line, one line for each subscription, in a bounded room."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class WaitingRoom:
    """The room of one process.

    Only the first of a line looks whether there is something for it: a crowd that waits is not a crowd at the database.

    Args:
        places: how many calls may wait at a time.
    """

    def __init__(self, places: int) -> None:
        self._free = threading.BoundedSemaphore(places)
        self._changed = threading.Condition()
        self._lines: dict[str, deque[object]] = {}

    def waits(self, key: str) -> bool:
        """Whether anybody waits in a subscription's line."""
        return key in self._lines

    @contextmanager
    def place(self, key: str) -> Iterator[Place | None]:
        """A place at the end of a subscription's line; None where the room is full."""
        if not self._free.acquire(blocking=False):
            yield None
            return
        place = Place(self, key)
        try:
            with self._changed:
                self._lines.setdefault(key, deque()).append(place)
            yield place
        finally:
            with self._changed:
                line = self._lines[key]
                line.remove(place)
                if not line:
                    del self._lines[key]
                self._changed.notify_all()
            self._free.release()

    def tell(self) -> None:
        """Something is there, or somebody is to leave: all who wait look."""
        with self._changed:
            self._changed.notify_all()

    def first(self, key: str) -> object:
        """Who is first in a line."""
        return self._lines[key][0]

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Until `done` or for so long, or until somebody tells."""
        with turn.away(), self._changed:
            if not done():
                self._changed.wait(seconds)


class Place:
    """One who waits.

    Attributes:
        leaving: told to give up.
    """

    def __init__(self, room: WaitingRoom, key: str) -> None:
        self.leaving = False
        self._room = room
        self._key = key

    @property
    def first(self) -> bool:
        """Whether nobody of the same subscription has waited longer."""
        return self._room.first(self._key) is self

    def wait(self, seconds: float) -> None:
        """Until somebody tells, or for so long."""
        self._room.wait(lambda: self.leaving, seconds)

    def leave(self) -> None:
        """Give up. From any thread."""
        self.leaving = True
        self._room.tell()
