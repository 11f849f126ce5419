"""A client's connection to `deploy.worker`: what it is doing, and what has arrived on it of a request."""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.contract import new_trace_id

if TYPE_CHECKING:
    from deploy.worker.request import Framing, GatewayRequest


class State(enum.Enum):
    """What a connection is doing."""

    READING = enum.auto()  # waiting for a request, or in the middle of one
    CLOSING = enum.auto()  # answered for the last time; what still comes is thrown away


class After(enum.Enum):
    """What becomes of a connection after a pool thread had it."""

    KEEP = enum.auto()
    CLOSE = enum.auto()
    RESET = enum.auto()  # the client must not take what it has for the whole answer, or takes nothing at all


@dataclass(eq=False)
class Connection:
    """One client's connection, and the request that is being read from it."""

    sock: socket.socket
    client: Any
    server: Any
    late: bool  # made after the server was told to stop
    beyond: bool  # made when as many were open as may be
    deadline: float
    state: State = State.READING
    buffer: bytearray = field(default_factory=bytearray)
    started: float = 0.0  # when the first byte of this request came
    tried: int = 0  # how many bytes of an incomplete head were given to the parser last
    request: GatewayRequest | None = None  # set once the head is read
    framing: Framing | None = None  # the same
    vital: bool = False  # the same; whether it is served although the server is full
    faulty: bool = False  # whether its body is at fault, which the application is to tell
    trace_id: str = field(default_factory=new_trace_id)
    served: int = 0
    discarded: int = 0

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self.state is State.READING and not self.buffer and self.request is None

    def forget_request(self) -> None:
        """Make ready for the next request; what has arrived of it stays in the buffer."""
        self.request = self.framing = None
        self.vital = self.faulty = False
        self.tried = 0
        self.trace_id = new_trace_id()

    def abort(self) -> None:
        """Close with a reset, so that the client sees an error, and what waits to be sent is dropped."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
