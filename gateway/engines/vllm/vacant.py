"""The slots of the engine host that no worker has: somebody has to listen there, or EngineCore pays for it.

EngineCore connects to both sockets of each slot from its start, and where nobody listens ZeroMQ tries again ten times a
second. For 63 vacant slots that is hundreds of attempts a second in the process of the model, each of which takes a
core away from it for a moment. So the host listens in the workers' stead: it takes the connections, never says a word,
and hangs up when a worker comes, whom EngineCore then finds at its next attempt. ZeroMQ gives up on a silent peer
after half a minute and connects again, which is rare enough.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


class VacantSlots:
    """Stands in for workers. The processes that are forked meanwhile would keep its sockets: fork none.

    Args:
        paths: of the Unix sockets that a slot's worker will listen on, by slot.
    """

    def __init__(self, paths: Sequence[Sequence[Path]]) -> None:
        self._paths = paths
        self._listeners: dict[Path, socket.socket] = {}
        self._silent: dict[Path, socket.socket] = {}  # EngineCore's connections

    @property
    def listeners(self) -> Collection[socket.socket]:
        """To be waited for; what is readable among them goes to `accept`."""
        return self._listeners.values()

    def take(self, slot: int) -> None:
        """Listen on a slot that has no worker, or has none any more."""
        for path in self._paths[slot]:
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.settimeout(0)
            listener.bind(str(path))
            listener.listen()
            self._listeners[path] = listener

    def accept(self, readable: object) -> None:
        """Take a connection, in place of the one before. Where the slot was left meanwhile there is none."""
        for path, listener in self._listeners.items():
            if listener is readable:
                self._hang_up(path)
                with contextlib.suppress(OSError):  # gone again
                    self._silent[path] = listener.accept()[0]

    def leave(self, slot: int) -> None:
        """Make room for a worker."""
        for path in self._paths[slot]:
            if (listener := self._listeners.pop(path, None)) is not None:
                path.unlink(missing_ok=True)  # before the connection ends: EngineCore must not come back here
                listener.close()
                self._hang_up(path)

    def close(self) -> None:
        """Leave them all."""
        for slot in range(len(self._paths)):
            self.leave(slot)

    def _hang_up(self, path: Path) -> None:
        silent = self._silent.pop(path, None)
        if silent is not None:
            silent.close()
