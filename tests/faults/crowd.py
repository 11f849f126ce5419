"""Many callers in one thread: raw sockets on one epoll, so that what is measured is the gateway and not its caller."""

from __future__ import annotations

import contextlib
import json
import math
import re
import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.bench.exchange import is_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_RECEIVE = 65536
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_HEADER = re.compile(rb"\r\n([A-Za-z-]+): *([^\r\n]*)")
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


@dataclass(eq=False)
class Exchange:
    """A request and what has come of its answer.

    Attributes:
        sent: when it was sent; all times are monotonic seconds.
        first: when the first byte came.
        ended: when the answer was whole, or its connection over.
        reset: whether the connection ended with an error.
    """

    sock: socket.socket
    request: bytes
    sent: float
    first: float | None = None
    ended: float | None = None
    reset: bool = False
    raw: bytearray = field(default_factory=bytearray)

    @property
    def seconds(self) -> float:
        """From the request to the end of its answer."""
        return math.inf if self.ended is None else self.ended - self.sent

    @property
    def status(self) -> int | None:
        """Of the answer; None where there is none."""
        found = _STATUS.match(self.raw)
        return int(found[1]) if found else None

    @property
    def whole(self) -> bool:
        """Whether the answer is here to its last byte."""
        return is_whole(self.raw)

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer, by their names in lower case."""
        head = bytes(self.raw).partition(b"\r\n\r\n")[0]
        return {name.decode().lower(): value.decode() for name, value in _HEADER.findall(head)}

    @property
    def body(self) -> bytes:
        """What has come of it, without the framing of chunks."""
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        if b"chunked" not in head:
            return rest
        pieces = []
        while found := _CHUNK.match(rest):
            pieces.append(rest[found.end() : found.end() + int(found[1], 16)])
            rest = rest[found.end() + int(found[1], 16) + 2 :]
        return b"".join(pieces)

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def took(self, data: bytes, now: float) -> bool:
        """Take down what has come; whether that was the end."""
        if data:
            self.first = self.first or now
            self.raw += data
        if not data or self.whole:
            self.ended = now
        return self.ended is not None


class Crowd:
    """Callers of one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._under_way: dict[int, Exchange] = {}
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._open:
            sock.close()
        self._epoll.close()

    @property
    def under_way(self) -> int:
        """How many answers are waited for."""
        return len(self._under_way)

    def send(self, request: bytes, *, on: Exchange | None = None, receive_buffer: int | None = None) -> Exchange:
        """Send a request, on a connection of its own or on that of an exchange that is over.

        Args:
            request: all of it, or its beginning.
            on: that exchange.
            receive_buffer: bytes that the kernel may keep of what the caller has not read.

        Raises:
            ConnectionRefusedError: nobody listens.
        """
        if on is None:
            sock = socket.socket()
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(10)
            try:
                sock.connect(("127.0.0.1", self._port))
            except OSError:
                sock.close()
                raise
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(0)
            self._open.add(sock)
            self._epoll.register(sock, select.EPOLLIN)
        else:
            sock = on.sock
        exchange = Exchange(sock, request, time.monotonic())
        self._under_way[sock.fileno()] = exchange
        sock.sendall(request)
        return exchange

    def send_more(self, exchange: Exchange, data: bytes) -> None:
        """Go on with a request, unless it was answered."""
        if exchange.ended is None:
            with contextlib.suppress(OSError):  # it is being closed at this moment
                exchange.sock.sendall(data)

    def ignore(self, exchange: Exchange) -> None:
        """Never read what comes for it."""
        self._epoll.unregister(exchange.sock)
        self._under_way.pop(exchange.sock.fileno())

    def hang_up(self, exchange: Exchange) -> None:
        """Close its connection, whatever it is doing."""
        self._under_way.pop(exchange.sock.fileno(), None)
        self._open.discard(exchange.sock)
        exchange.sock.close()

    def turn(self, seconds: float) -> list[Exchange]:
        """Take what comes within so many seconds, or the first of it; those that are over."""
        over = []
        for descriptor, _ in self._epoll.poll(max(0.0, seconds)):
            exchange = self._under_way.get(descriptor)
            if exchange is None:  # a kept connection that the server has closed
                self._epoll.unregister(descriptor)
                continue
            try:
                data = exchange.sock.recv(_RECEIVE)
            except OSError:
                data, exchange.reset = b"", True
            if exchange.took(data, time.monotonic()):
                del self._under_way[descriptor]
                over.append(exchange)
                if not data or exchange.headers.get("connection") == "close":
                    self._open.discard(exchange.sock)
                    exchange.sock.close()
        return over

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Go on until a condition holds; fail where it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
            self.turn(0.05)

    def until_over(self, exchanges: Iterable[Exchange], seconds: float = 60.0) -> None:
        """Go on until all of these are over."""
        exchanges = list(exchanges)
        self.until(lambda: all(one.ended is not None for one in exchanges), "the end of all answers", seconds)


def post(path: str, key: str, body: object, *, trace_id: str | None = None, keep: bool = False) -> bytes:
    """A POST of JSON with a key."""
    content = json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Ocp-Apim-Subscription-Key: {key}",
        f"Content-Length: {len(content)}",
        *([] if keep else ["Connection: close"]),
        *([] if trace_id is None else [f"traceparent: 00-{trace_id}-00f067aa0ba902b7-01"]),
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def get(path: str) -> bytes:
    """A GET without a key."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
