"""When readers are woken: at once while they are few, in a common beat when they are many.

Each id of each stream could wake the thread that reads it. With 64 streams that is thousands of wake-ups a second, and
they take the cores from the engine that makes the ids. So the wake-ups are rationed: what came meanwhile is
delivered together. One stream gets each id as it comes; 64 get their text ten times a second, which is how fast a
person reads it. The first text of an answer and its end never wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

_WAKE_UPS_A_SECOND = 400
_LONGEST_SECONDS = 0.1


class Reader(Protocol):
    """Somebody for whom something is ready."""

    def deliver(self) -> None:
        """Hand it over."""
        ...


class Pulse:
    """Delivers to all who asked since the last beat. Used in one event loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[Reader] = []
        self._next = 0.0

    def request(self, reader: Reader) -> None:
        """Deliver to this reader at the next beat. Ask once for each delivery."""
        if not self._due:
            # Even when a beat is due it comes after what runs now: after the other outputs of the same engine step.
            self._loop.call_at(self._next, self._beat)
        self._due.append(reader)

    def _beat(self) -> None:
        due, self._due = self._due, []
        self._next = self._loop.time() + min(_LONGEST_SECONDS, len(due) / _WAKE_UPS_A_SECOND)
        for reader in due:
            reader.deliver()
