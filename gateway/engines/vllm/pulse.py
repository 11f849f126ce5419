"""When streams are handed on: at once while they are few, in a common beat when they are many.

Each id of each stream could be made an output of vLLM's and wake the thread that reads it. With 64 streams that is
thousands a second, and they take the cores from the engine that makes the ids. So both are rationed: what came in the
meantime is handed on together. One stream gets what comes as it comes; 64 get their text ten times a second, which is
how fast a person reads it. The first id of an answer and its end never wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

_WAKE_UPS_A_SECOND = 400
_LONGEST_SECONDS = 0.1


class Reader(Protocol):
    """Somebody who reads along."""

    def collect(self) -> None:
        """Hand on what is new, if anything is."""
        ...


class Pulse:
    """Has all readers collect after an engine step, but not more often than so many together may. One event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[Reader, None] = {}  # in the order in which they joined
        self._next = 0.0
        self._planned = False

    def join(self, reader: Reader) -> None:
        """Have it collect from now on."""
        self._readers[reader] = None

    def leave(self, reader: Reader) -> None:
        """Not any more; also one that never joined."""
        self._readers.pop(reader, None)

    def step(self) -> None:
        """The engine has made a step: something may be new."""
        if self._readers and not self._planned:
            self._planned = True
            # Even when a beat is due it comes after what runs now: after all outputs of the same engine step.
            self._loop.call_at(self._next, self._beat)

    def _beat(self) -> None:
        self._planned = False
        self._next = self._loop.time() + min(_LONGEST_SECONDS, len(self._readers) / _WAKE_UPS_A_SECOND)
        for reader in list(self._readers):
            reader.collect()
