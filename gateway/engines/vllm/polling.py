"""How EngineCore waits for requests: by asking those of its sockets that have stirred.

EngineCore has a socket for each slot of the engine host, 64 of them, and `zmq_poll` asks every one, twice, before and
after each message: 0.12 ms of CPU on two cores, with Python's lock for a part of it, which the thread that computes
waits for. Here the kernel says which have stirred.

`install` runs in the engine host before it forks EngineCore. It bends one name in vLLM 0.32's `vllm.v1.engine.core`
(proven by `tests/engine/test_vllm_internals.py`).
"""

from __future__ import annotations

import select
from typing import Any

import vllm.v1.engine.core
import zmq


class Poller:
    """What is used of `zmq.Poller`, for sockets that only the thread that polls uses.

    A socket's descriptor (ZMQ_FD, https://api.zeromq.org/4-3:zmq-getsockopt) is readable from when something has
    happened to the socket until it is asked what, or anything else is done with it. So one that has stirred is asked
    before each wait, until it has nothing more.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._stirred: set[int] = set()

    def register(self, socket: zmq.Socket[bytes], flags: int) -> None:
        """Wait for what comes in on a socket, too. Others than POLLIN are not to be had (ValueError)."""
        if flags != zmq.POLLIN:
            raise ValueError(f"what can be waited for is POLLIN, and not {flags}")
        descriptor = int(socket.getsockopt(zmq.FD))
        self._sockets[descriptor] = socket
        self._stirred.add(descriptor)  # whatever happened to it before
        self._epoll.register(descriptor, select.EPOLLIN)

    def poll(self) -> list[tuple[zmq.Socket[bytes], int]]:
        """The sockets that something can be received from, at least one; waits for it."""
        while True:
            wait = 0 if self._stirred else -1
            self._stirred.update(descriptor for descriptor, _ in self._epoll.poll(wait))
            ready = []
            for descriptor in list(self._stirred):
                socket = self._sockets[descriptor]
                if int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    ready.append((socket, int(zmq.POLLIN)))
                else:
                    self._stirred.discard(descriptor)
            if ready:
                return ready


class _Zmq:
    """The module `zmq`, but for its Poller."""

    Poller = Poller

    def __getattr__(self, name: str) -> Any:
        return getattr(zmq, name)


def install() -> None:
    """Bend what EngineCore waits with, in this process and in those that are forked from it."""
    vllm.v1.engine.core.zmq = _Zmq()
