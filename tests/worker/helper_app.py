"""The application behind the worker under test. It notes what happens to it; `/state` tells."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

_gate = threading.Event()
_state: dict[str, Any] = {"served": 0, "closed": [], "hung_up": 0, "pid": os.getpid()}

# A server that drains takes no request to release what it holds.
signal.signal(signal.SIGUSR2, lambda _signal, _frame: _gate.set())

CANARY = "c0ffee5ec2e7"


class Pieces:
    """A response iterator that notes its close()."""

    def __init__(self, name: str, pieces: Iterator[bytes]) -> None:
        self._name = name
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """What the server must call, however the response ends."""
        _state["closed"].append(self._name)


def _two_then_failure() -> Iterator[bytes]:
    yield b"first"
    yield b"second"
    raise ValueError(f"the application quotes {CANARY}")


def _endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65536


def _when_released() -> Iterator[bytes]:
    yield b"begun"
    _gate.wait(20)
    yield b"ended"


class Lingering(Pieces):
    """One with something left to do when its answer is out, as the gateway has its log line."""

    def close(self) -> None:
        """Takes until it is released."""
        _gate.wait(20)
        super().close()
        print("lingered")  # noqa: T201 - into the log that tests read


class Breaking(Pieces):
    """One that fails when its answer is out."""

    def close(self) -> None:
        """Fails."""
        super().close()
        raise OSError(f"the application quotes {CANARY}")


_CLOSINGS = {"/lingers": Lingering, "/breaks": Breaking}


def _until_hang_up(environ: WSGIEnvironment) -> Iterator[bytes]:
    yield b"begun"
    poll = select.poll()
    poll.register(environ["gunicorn.socket"], select.POLLRDHUP)
    _state["hung_up"] += len(poll.poll(10_000))


# The last of them is more than a socket takes at once.
OFFERED = [bytes([97 + number]) * size for number, size in enumerate((5, 3, 7, 1 << 24))]


def _offered(environ: WSGIEnvironment) -> Iterator[bytes]:
    """Pieces that another thread sends while this one waits, and those that it cannot."""
    offer, taken = environ["gateway.offer"], 0
    yield b"begun"
    with ThreadPoolExecutor(1) as another:
        for piece in OFFERED:
            if another.submit(offer, piece).result():
                taken += 1
            else:
                yield piece
    yield f"taken: {taken}".encode()


def _echo(environ: WSGIEnvironment) -> bytes:
    told = {key: environ.get(key, "") for key in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")}
    told |= {"length": len(environ["wsgi.input"].read()), "trace": environ["gateway.trace_id"]}
    _state["served"] += 1
    return json.dumps(told).encode()


def _release(_environ: WSGIEnvironment) -> bytes:
    _gate.set()
    return b""


def _report(_environ: WSGIEnvironment) -> bytes:
    return json.dumps(_state).encode()


def _broken(_environ: WSGIEnvironment) -> bytes:
    raise OSError(f"the application quotes {CANARY}")


_WHOLE: dict[str, Callable[[WSGIEnvironment], bytes]] = {
    "/release": _release,
    "/state": _report,
    "/broken": _broken,
}
_STREAMS: dict[str, Callable[[WSGIEnvironment], Iterator[bytes]]] = {
    "/fails": lambda _: _two_then_failure(),
    "/endless": lambda _: _endless(),
    "/steps": lambda _: _when_released(),
    "/watch": _until_hang_up,
    "/offered": _offered,
}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
    """Plain WSGI: what the worker does must not depend on a framework."""
    path = environ["PATH_INFO"]
    if path in _CLOSINGS:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return _CLOSINGS[path](path, iter([b"whole"]))
    if path in _STREAMS:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces(path, _STREAMS[path](environ))
    body = _WHOLE.get(path, _echo)(environ)
    length = len(body) + (10 if path == "/short" else 0)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(length))])
    return [body]
