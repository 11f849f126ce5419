"""The two sides of the comparison, with the same few methods."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tests.bench import machine
from tests.bench.child import Child
from tests.bench.load import Load, Outcome
from tests.server import GatewayServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What the benchmark sets for the gateway by itself, or what a run must not touch.
_OWN = {"GATEWAY_DATABASE_URL", "GATEWAY_KEY_PEPPER", "GATEWAY_DEV_KEY", "GATEWAY_BIND", "GATEWAY_RUNTIME_DIR"}


class Side(Protocol):
    """Something that answers loads.

    Attributes:
        drives_itself: whether what drives it is its own front end, and not a client beside it.
    """

    drives_itself: bool

    def run(self, load: Load) -> Outcome:
        """Answer a load, to its end."""
        ...

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part in it; `front` and `engine` are always there."""
        ...


class Bare:
    """VLLM's AsyncLLM, driven directly."""

    drives_itself = True

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self, load: Load) -> Outcome:
        """Answer a load, to its end."""
        return Outcome.from_json(self._child.ask(load.to_json()))

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part in it."""
        pid = self._child.process.pid
        return {"front": [pid], "engine": machine.descendants(pid)}


class Gateway:
    """The gateway, over HTTP."""

    drives_itself = False

    def __init__(self, server: GatewayServer, client: Child) -> None:
        self._server = server
        self._client = client

    def run(self, load: Load) -> Outcome:
        """Answer a load, to its end."""
        question = {"port": self._server.port, "key": self._server.key, "load": load.to_json()}
        return Outcome.from_json(self._client.ask(question))

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part in it."""
        master = self._server.process.pid
        started = machine.children(master)
        hosts = [pid for pid in started if "gateway.engines.vllm.host" in machine.command(pid)]
        return {
            "front": [pid for pid in started if pid not in hosts],
            "engine": [pid for host in hosts for pid in machine.descendants(host)],
            "host": hosts,
            "master": [master],
            "client": [self._client.process.pid],
        }


@contextmanager
def both(folder: Path) -> Iterator[tuple[Bare, Gateway]]:
    """The two, loaded and ready, on the same settings; nothing of them is left at the end."""
    with (
        Child("tests.bench.bare") as bare,
        running(folder, **gateway_environment()) as server,
        Child("tests.bench.client") as client,
    ):
        bare.receive()
        yield Bare(bare), Gateway(server, client)


def gateway_environment() -> dict[str, str]:
    """The operator's variables of this process, for a gateway with a database and keys of its own."""
    return {name: value for name, value in os.environ.items() if name.startswith("GATEWAY_") and name not in _OWN}
