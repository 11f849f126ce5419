"""From a process's start to its first token: the gateway over HTTP, the bare engine by itself, in turn."""

from __future__ import annotations

import http.client
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import client
from tests.bench.child import Child
from tests.bench.exchange import Target
from tests.bench.load import Load
from tests.bench.sides import gateway_environment
from tests.server import GatewayServer, end, launch, wait_until_listening

_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 300.0


@dataclass
class Starts:
    """Seconds since the process was started, one value for each start.

    Attributes:
        bare: the bare engine's first token.
        live: `/health/live` is answered.
        ready: `/health/ready` is answered with 200.
        first: the gateway's first event with text is with its caller.
    """

    bare: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


def measure(number: int) -> Starts:
    """Start each side so many times."""
    starts = Starts()
    for turn in range(number):
        order = (_start_bare, _start_gateway) if turn % 2 == 0 else (_start_gateway, _start_bare)
        for start in order:
            start(starts)
    return starts


def _start_bare(starts: Starts) -> None:
    started = time.monotonic()
    with Child("tests.bench.bare") as child:
        child.receive()
        starts.bare.append(time.monotonic() - started)


def _start_gateway(starts: Starts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        server = launch(Path(folder), **gateway_environment())
        try:
            wait_until_listening(server)
            _wait_for_200(server, "/health/live")
            live = time.monotonic()
            _wait_for_200(server, "/health/ready")
            ready = time.monotonic()
            load = Load(1, stream=True, prompts=["Count to 20"], max_tokens=8)
            first = client.run(Target(server.port, server.key), load)
            called = time.monotonic() - first.seconds
        finally:
            end(server)
    starts.live.append(live - started)
    starts.ready.append(ready - started)
    starts.first.append(called + (first.samples[0].first or 0.0) - started)


def _wait_for_200(server: GatewayServer, path: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE_SECONDS)
    while time.monotonic() < deadline:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status == http.HTTPStatus.OK:
                connection.close()
                return
        except (OSError, http.client.HTTPException):
            connection.close()
        assert server.process.poll() is None, "\n".join(server.log)
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{path} was not answered with 200 in {_PATIENCE_SECONDS:g} s")
