"""Many callers at a time: one thread, one epoll, the least work for each byte, so that the gateway gets the cores.

    python -m tests.bench.client

Answers are only collected while the clock runs, and read afterwards.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass, field

from gateway.cores import leave_to_engine
from tests.bench import exchange
from tests.bench.child import Channel
from tests.bench.load import Load, Outcome, Sample

_RECEIVE = 65536
_PATIENCE_SECONDS = 300.0


@dataclass
class _Caller:
    """A kept-alive connection and the request that is under way on it."""

    sock: socket.socket
    number: int = -1
    sent: float = 0.0
    first: float | None = None
    raw: bytearray = field(default_factory=bytearray)

    def send(self, number: int, request: bytes) -> None:
        self.number, self.first, self.raw = number, None, bytearray()
        self.sent = time.perf_counter()
        self.sock.sendall(request)


def run(port: int, key: str, load: Load) -> Outcome:
    """Answer a load with a gateway on this machine."""
    requests = [exchange.request(key, prompt, load.max_tokens, stream=load.stream) for prompt in load.prompts]
    callers = {caller.sock.fileno(): caller for caller in (_connect(port) for _ in range(load.level))}
    try:
        cpu, started = time.process_time(), time.perf_counter()
        finished = _call(callers, requests, stream=load.stream)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    finally:
        for caller in callers.values():
            caller.sock.close()
    return Outcome(seconds, cpu, [_sample(*finished[number]) for number in range(len(requests))])


def _connect(port: int) -> _Caller:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(0)
    return _Caller(sock)


def _call(
    callers: dict[int, _Caller], requests: list[bytes], *, stream: bool
) -> dict[int, tuple[float | None, float, bytes]]:
    """Keep every caller busy until all is answered: seconds to the first text, seconds in all, the answer."""
    finished: dict[int, tuple[float | None, float, bytes]] = {}
    waiting = iter(enumerate(requests))
    with select.epoll() as epoll:
        for descriptor, caller in callers.items():
            epoll.register(descriptor, select.EPOLLIN)
            if (following := next(waiting, None)) is not None:
                caller.send(*following)
        while len(finished) < len(requests):
            readable = epoll.poll(_PATIENCE_SECONDS)
            if not readable:
                raise exchange.UnexpectedAnswerError(f"nothing came for {_PATIENCE_SECONDS:g} s")
            for descriptor, _ in readable:
                caller = callers[descriptor]
                received = caller.sock.recv(_RECEIVE)
                now = time.perf_counter()
                if not received:
                    raise exchange.UnexpectedAnswerError(f"closed after {bytes(caller.raw)!r}")
                caller.raw += received
                if stream and caller.first is None and exchange.FIRST_TEXT in caller.raw:
                    caller.first = now - caller.sent
                if exchange.is_whole(caller.raw):
                    finished[caller.number] = (caller.first, now - caller.sent, bytes(caller.raw))
                    if (following := next(waiting, None)) is not None:
                        caller.send(*following)
    return finished


def _sample(first: float | None, total: float, raw: bytes) -> Sample:
    reading = exchange.read(raw)
    return Sample(first, total, reading.prompt_tokens, reading.output_tokens, reading.text)


def main() -> None:
    """Serve the parent: each question is `{"port", "key", "load"}`, each answer an outcome."""
    leave_to_engine()  # as a caller on another machine would
    channel = Channel()
    while (question := channel.receive()) is not None:
        channel.send(run(question["port"], question["key"], Load(**question["load"])).to_json())


if __name__ == "__main__":
    main()
