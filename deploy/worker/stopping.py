"""How a server learns that it is to stop: by Ctrl-C as by SIGTERM, and by what its master has closed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable


def drain_on_interrupt(arbiter: Any) -> None:
    """Make the master drain on Ctrl-C too; for gunicorn.conf.py's `when_ready`.

    gunicorn's master answers SIGINT with SIGQUIT to its workers, which ends running requests. With this the
    first SIGINT counts as SIGTERM; a second one, while draining, still stops quickly.
    """
    seen = iter([signal.SIGTERM])

    def interrupted(_signal: int, _frame: Any) -> None:
        arbiter.SIG_QUEUE.put_nowait(next(seen, signal.SIGINT))

    signal.signal(signal.SIGINT, interrupted)


def server_stops(listeners: Iterable[socket.socket], master: int) -> bool:
    """Whether the master has closed the listening sockets: it does so first of all when it stops.

    It does not when it only replaces a worker. Where /proc does not tell, nobody is refused.

    Args:
        listeners: as the worker has inherited them.
        master: its process id.
    """
    mine = {f"socket:[{os.fstat(listener.fileno()).st_ino}]" for listener in listeners}
    try:
        masters = {link.readlink().name for link in Path(f"/proc/{master}/fd").iterdir()}
    except OSError:
        return False
    return not mine & masters
