"""Tells when a caller hangs up while its answer is made. WSGI has no such event, so the sockets are watched.

A caller that closes only its sending side counts as gone, as it does for nginx.
One thread for each process waits on all of them (epoll(7), EPOLLRDHUP).
"""

from __future__ import annotations

import contextlib
import logging
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class HangupWatcher:
    """Calls back when the peer of a watched socket is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._epoll: select.epoll | None = None

    @contextlib.contextmanager
    def watch(self, sock: socket.socket | None, gone: Callable[[], None]) -> Iterator[None]:
        """Call `gone`, once and from another thread, if the peer hangs up before the block ends."""
        if sock is None or sock.fileno() < 0:  # not served by gunicorn, or already closed
            yield
            return
        descriptor = sock.fileno()
        epoll = self._started()
        with self._lock:
            self._callbacks[descriptor] = gone
            epoll.register(descriptor, _GONE | select.EPOLLONESHOT)
        try:
            yield
        finally:
            with self._lock:
                # Another connection has the number by now, if the server has closed this one meanwhile.
                if self._callbacks.get(descriptor) is gone:
                    del self._callbacks[descriptor]
                    with contextlib.suppress(OSError):  # closing it has unregistered it as well
                        epoll.unregister(descriptor)

    def _started(self) -> select.epoll:
        with self._lock:
            if self._epoll is None:
                self._epoll = select.epoll()
                threading.Thread(target=self._run, args=(self._epoll,), name="hang-ups", daemon=True).start()
            return self._epoll

    def _run(self, epoll: select.epoll) -> None:
        while True:
            for descriptor, _ in epoll.poll():
                with self._lock:
                    # The event may be of a connection whose number another one has by now.
                    gone = self._callbacks.get(descriptor) if _is_gone(descriptor) else None
                if gone is not None:
                    _call(gone)


def _call(gone: Callable[[], None]) -> None:
    try:
        gone()
    except Exception as error:  # noqa: BLE001 - one that fails must not end the watch over all the others
        log.warning("a hang-up was not handled: %s", type(error).__name__)


def _is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return bool(poll.poll(0))


watcher = HangupWatcher()
