"""A client's socket as gunicorn's response writes to it."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from gateway.turn import turn

if TYPE_CHECKING:
    import socket


class AnswerSocket:
    """Sends on a socket that stays non-blocking, and waits only where the client does not keep up.

    A Python socket with a timeout asks the kernel whether it may write before each write, and gives the interpreter's
    lock away twice; a stream's pieces are nearly always taken at once. The head of the answer, which gunicorn writes by
    itself, goes out together with what follows it.

    Args:
        sock: non-blocking.
        patience: seconds that one write may wait for the client to read.
    """

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self._sock = sock
        self._patience = patience
        self._head: bytes | None = None
        self._offered = 0  # bytes of what is sent next that have gone out already

    def offer(self, data: bytes) -> bool:
        """Send without waiting; whether all of it went out. What did not is left for `sendall` of the same data."""
        if self._head != b"" or self._offered:
            return False
        try:
            sent = self._sock.send(data)
        except OSError:  # it would have to wait, or the client is gone: `sendall` will see
            return False
        self._offered = sent % len(data)
        return sent == len(data)

    def fileno(self) -> int:
        """The descriptor; negative once it is closed."""
        return self._sock.fileno()

    def sendall(self, data: bytes) -> None:
        """Send, but keep the first piece for the next.

        Raises:
            TimeoutError: the client does not read.
            OSError: it is gone.
        """
        if self._head is None:
            self._head = bytes(data)
        elif self._head:
            head, self._head = self._head, b""
            self._send(head + data)
        else:
            self._send(data)

    def flush(self) -> None:
        """Send what was kept: an answer may be a head alone."""
        if self._head:
            head, self._head = self._head, b""
            self._send(head)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `socket.sendfile`, which wants a socket that blocks."""
        self.flush()
        self._sock.settimeout(self._patience)
        try:
            with turn.away():
                return self._sock.sendfile(file, offset, count)
        finally:
            self._sock.settimeout(0)

    def _send(self, data: bytes) -> None:
        rest, deadline = memoryview(data)[self._offered :], 0.0
        self._offered = 0
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                deadline = deadline or time.monotonic() + self._patience
                self._wait(deadline - time.monotonic())

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        with turn.away():
            if seconds <= 0 or not poll.poll(seconds * 1000):
                raise TimeoutError
