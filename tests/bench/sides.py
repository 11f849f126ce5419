"""The sides of the comparison, with the same few methods."""

from __future__ import annotations

import contextlib
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from tests.bench import litellm, machine
from tests.bench.caller import PEPPER, make_key
from tests.bench.child import Child
from tests.bench.exchange import Target
from tests.bench.load import Load, Outcome
from tests.conformance.vllm_server import serving
from tests.server import GatewayServer, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.settings import Settings
    from tests.bench.arguments import Arguments
    from tests.bench.litellm import Proxy
    from tests.conformance.vllm_server import VllmServer

Name = Literal["bare", "serve", "get-data", "chat", "litellm"]
"""Whoever has a column of figures: the gateway has one for each of its operations."""

# What the benchmark sets for the gateway by itself, or what a run must not touch.
_OWN = {"GATEWAY_DATABASE_URL", "GATEWAY_KEY_PEPPER", "GATEWAY_DEV_KEY", "GATEWAY_BIND", "GATEWAY_RUNTIME_DIR"}

SERVE_FLAGS = ("--disable-uvicorn-access-log", "--disable-log-stats")
"""What spares vLLM's server work that nobody asks for here."""


class Side(Protocol):
    """Something that answers loads.

    Attributes:
        drives_itself: whether what drives it is its own front end, and not a client beside it.
    """

    drives_itself: bool

    def run(self, load: Load) -> Outcome:
        """Answer a load, to its end."""
        ...

    def ids(self, prompts: Sequence[str]) -> list[list[int]] | None:
        """What the engine is given for prompts, of a side that tells."""
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

    def ids(self, prompts: Sequence[str]) -> list[list[int]] | None:
        """What the engine is given for prompts."""
        found: list[list[int]] = self._child.ask({"encode": list(prompts)})["ids"]
        return found

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part in it."""
        pid = self._child.process.pid
        return {"front": [pid], "engine": machine.descendants(pid)}


class Http:
    """A server, asked by the load client.

    Args:
        target: where it is, and what it is asked for.
        client: the load client.
        processes: its processes by their part in it.
        ids: tells what its engine is given for a prompt.
    """

    drives_itself = False

    def __init__(
        self,
        target: Target,
        client: Child,
        processes: Callable[[], dict[str, list[int]]],
        ids: Callable[[str], list[int]] | None = None,
    ) -> None:
        self._target = target
        self._client = client
        self._processes = processes
        self._ids = ids

    def run(self, load: Load) -> Outcome:
        """Answer a load, to its end."""
        question = {"target": self._target.to_json(), "load": load.to_json()}
        return Outcome.from_json(self._client.ask(question))

    def ids(self, prompts: Sequence[str]) -> list[list[int]] | None:
        """What the engine is given for prompts, of a server that tells."""
        return None if self._ids is None else [self._ids(prompt) for prompt in prompts]

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part in it, and the load client."""
        return {**self._processes(), "client": [self._client.process.pid]}


@contextmanager
def loaded(chosen: Arguments, settings: Settings, number: int = 0) -> Iterator[dict[Name, Side]]:
    """The sides that were asked for, loaded and ready, on the same settings; nothing of them is left at the end.

    Args:
        chosen: says which.
        settings: the gateway's, which all have.
        number: how often that was done before; every other time they are loaded the other way round.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = stack.enter_context(Child("tests.bench.client"))
        loader = _Loader(stack, folder, client, chosen, settings)
        loads = [load for letter, load in loader.by_letter.items() if letter in chosen.sides]
        for load in loads if number % 2 == 0 else reversed(loads):
            load()
        yield {name: loader.sides[name] for name in get_args(Name) if name in loader.sides}


class _Loader:
    """Loads sides one after the other, for as long as the stack is there."""

    def __init__(self, stack: ExitStack, folder: Path, client: Child, chosen: Arguments, settings: Settings) -> None:
        self._stack = stack
        self._folder = folder
        self._client = client
        self._chosen = chosen
        self._settings = settings
        self.sides: dict[Name, Side] = {}
        self.by_letter: dict[str, Callable[[], None]] = {"a": self._bare, "b": self._serve, "c": self._gateway}

    @property
    def _model(self) -> str:
        return self._settings.model_names[0]

    def _bare(self) -> None:
        bare = self._stack.enter_context(Child("tests.bench.bare"))
        bare.receive()
        self.sides["bare"] = Bare(bare)

    def _serve(self) -> None:
        """And what stands in front of it."""
        serve = self._stack.enter_context(serving(self._folder, self._settings, os.environ, SERVE_FLAGS))
        _place(_parts_of_serve(serve))
        target = Target(serve.port, "none", "chat", self._model)
        self.sides["serve"] = Http(
            target, self._client, lambda: _parts_of_serve(serve), lambda prompt: _ids(serve, prompt)
        )
        if "d" in self._chosen.sides:
            behind, workers = f"{serve.url}/v1", self._settings.workers
            proxy = self._stack.enter_context(litellm.proxying(self._folder, behind, self._model, workers))
            _place(_parts_of_proxy(proxy, serve))
            target = Target(proxy.port, proxy.key, "chat", self._model)
            self.sides["litellm"] = Http(target, self._client, lambda: _parts_of_proxy(proxy, serve))

    def _gateway(self) -> None:
        key = make_key(self._folder)
        server = self._stack.enter_context(running(self._folder, **gateway_environment(), GATEWAY_KEY_PEPPER=PEPPER))
        for operation in self._chosen.operations:
            target = Target(server.port, key, operation, self._model)
            self.sides[operation] = Http(target, self._client, lambda: _parts_of_gateway(server))


def _ids(serve: VllmServer, prompt: str) -> list[int]:
    reply = serve.post("/tokenize", {"messages": [{"role": "user", "content": prompt}]})
    found: list[int] = reply.json["tokens"]
    return found


def _place(parts: dict[str, list[int]]) -> None:
    """Give processes the cores as the gateway has them: the engine's thread one of its own (`gateway.cores`)."""
    core = os.environ.get("ENGINE_CORE")
    rest = os.sched_getaffinity(0) - {int(core)} if core else None
    if core and rest:
        for pid in (pid for pids in parts.values() for pid in pids):
            for thread in machine.threads(pid):
                computes = pid in parts["engine"] and thread == pid
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(thread, {int(core)} if computes else rest)


def _parts_of_proxy(proxy: Proxy, serve: VllmServer) -> dict[str, list[int]]:
    """The proxy, and what is behind it."""
    parts = _parts_of_serve(serve)
    own = [proxy.process.pid, *machine.descendants(proxy.process.pid)]
    return {**parts, "front": [*own, *parts["front"]]}


def _parts_of_serve(serve: VllmServer) -> dict[str, list[int]]:
    pid = serve.process.pid
    started = machine.descendants(pid)
    engine = [child for child in started if "EngineCore" in machine.command(child)]
    return {"front": [pid], "engine": engine, "others": [child for child in started if child not in engine]}


def _parts_of_gateway(server: GatewayServer) -> dict[str, list[int]]:
    master = server.process.pid
    started = machine.children(master)
    hosts = [pid for pid in started if "gateway.engines.vllm.host" in machine.command(pid)]
    return {
        "front": [pid for pid in started if pid not in hosts],
        "engine": [pid for host in hosts for pid in machine.descendants(host)],
        "host": hosts,
        "master": [master],
    }


def gateway_environment() -> dict[str, str]:
    """The operator's variables of this process, for a gateway with a database and keys of its own."""
    return {name: value for name, value in os.environ.items() if name.startswith("GATEWAY_") and name not in _OWN}
