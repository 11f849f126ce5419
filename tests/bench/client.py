"""Many callers at a time: one thread, one epoll, the least work for each byte, so that the gateway gets the cores.

    python -m tests.bench.client

Answers are only collected while the clock runs, and read afterwards.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.cores import leave_to_engine
from tests.bench import exchange
from tests.bench.child import Channel
from tests.bench.load import Load, Outcome, Sample

_RECEIVE = 65536
_PATIENCE_SECONDS = 300.0


class _Finished(NamedTuple):
    """An answer as it came: seconds to its first text, seconds to its end, when it was asked for, what came."""

    first: float | None
    total: float
    sent: float
    raw: bytes


@dataclass
class _Caller:
    """A kept-alive connection and the request that is under way on it."""

    sock: socket.socket
    operation: exchange.Operation
    number: int = -1
    sent: float = 0.0
    first: float | None = None
    raw: bytearray = field(default_factory=bytearray)

    def send(self, number: int, request: bytes) -> None:
        self.number, self.first, self.raw = number, None, bytearray()
        self.sent = time.monotonic()
        self.sock.sendall(request)

    def receive(self, *, stream: bool) -> _Finished | None:
        """Take what is there; the whole answer once it is whole."""
        received = self.sock.recv(_RECEIVE)
        now = time.monotonic()
        if not received:
            raise exchange.UnexpectedAnswerError(f"closed after {bytes(self.raw)!r}")
        self.raw += received
        if stream and self.first is None and exchange.has_text(self.raw, self.operation):
            self.first = now - self.sent
        if not exchange.is_whole(self.raw):
            return None
        return _Finished(self.first, now - self.sent, self.sent, bytes(self.raw))


def run(target: exchange.Target, load: Load) -> Outcome:
    """Answer a load with a server on this machine."""
    requests = [exchange.request(target, prompt, load.max_tokens, stream=load.stream) for prompt in load.prompts]
    callers = {caller.sock.fileno(): caller for caller in (_connect(target) for _ in range(load.level))}
    try:
        cpu, started = time.process_time(), time.monotonic()
        finished = _call(callers, requests, stream=load.stream, spread=load.spread)
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    finally:
        for caller in callers.values():
            caller.sock.close()
    return Outcome(seconds, cpu, [_sample(finished[number], target) for number in range(len(requests))])


def _connect(target: exchange.Target) -> _Caller:
    sock = socket.create_connection(("127.0.0.1", target.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(0)
    return _Caller(sock, target.operation)


def _call(callers: dict[int, _Caller], requests: list[bytes], *, stream: bool, spread: float) -> dict[int, _Finished]:
    """Keep every caller busy until all is answered."""
    finished: dict[int, _Finished] = {}
    waiting = iter(enumerate(requests))
    began = time.monotonic()
    starts = deque((began + spread * turn / len(callers), caller) for turn, caller in enumerate(callers.values()))
    with select.epoll() as epoll:
        for descriptor in callers:
            epoll.register(descriptor, select.EPOLLIN)
        while len(finished) < len(requests):
            while starts and starts[0][0] <= time.monotonic():
                _, caller = starts.popleft()
                if (following := next(waiting, None)) is not None:
                    caller.send(*following)
            patience = max(0.0, starts[0][0] - time.monotonic()) if starts else _PATIENCE_SECONDS
            readable = epoll.poll(patience)
            if not readable and not starts:
                raise exchange.UnexpectedAnswerError(f"nothing came for {_PATIENCE_SECONDS:g} s")
            for descriptor, _ in readable:
                caller = callers[descriptor]
                if (found := caller.receive(stream=stream)) is not None:
                    finished[caller.number] = found
                    if (following := next(waiting, None)) is not None:
                        caller.send(*following)
                    else:  # servers close a connection on which nothing more is asked
                        epoll.unregister(descriptor)
    return finished


def _sample(found: _Finished, target: exchange.Target) -> Sample:
    reading = exchange.read(found.raw, target.operation)
    return Sample(found.first, found.total, reading.prompt_tokens, reading.output_tokens, reading.text, found.sent)


def main() -> None:
    """Serve the parent: each question is `{"target", "load"}`, each answer an outcome."""
    leave_to_engine()  # as a caller on another machine would
    channel = Channel()
    while (question := channel.receive()) is not None:
        channel.send(run(exchange.Target(**question["target"]), Load(**question["load"])).to_json())


if __name__ == "__main__":
    main()
