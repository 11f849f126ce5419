"""What EngineCore tells its clients, over real sockets."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.serial_utils import MsgpackDecoder

from gateway.engines.vllm import sending
from gateway.engines.vllm.sending import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CLIENTS = 3
INDEX = 5
SECONDS = 20


class Core:
    """The parts of an EngineCoreProc that are about its clients."""

    def __init__(self, folder: Path) -> None:
        self.output_queue = Outbox()
        self.scheduler = SimpleNamespace(num_spec_tokens=0, parallel_config=SimpleNamespace(pipeline_parallel_size=1))
        self.paths = [f"ipc://{folder}/o{client}" for client in range(CLIENTS)]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """As vLLM does it, in a thread."""
        self._thread.start()

    def end(self) -> None:
        """Say that it is dead."""
        self.output_queue.put_nowait(EngineCoreProc.ENGINE_CORE_DEAD)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        sending._process_output_sockets(self, self.paths, None, INDEX)  # noqa: SLF001


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


@pytest.fixture
def clients(core: Core) -> Iterator[Sequence[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        sockets = [context.socket(zmq.PULL) for _ in core.paths]
        for socket, path in zip(sockets, core.paths, strict=True):
            socket.bind(path)
            socket.setsockopt(zmq.RCVTIMEO, SECONDS * 1000)
        yield sockets
        for socket in sockets:
            socket.close(linger=0)


def outputs(name: str, ids: list[int]) -> EngineCoreOutputs:
    return EngineCoreOutputs(outputs=[EngineCoreOutput(name, ids)])


def received(client: zmq.Socket[bytes]) -> EngineCoreOutputs:
    found: EngineCoreOutputs = MsgpackDecoder(EngineCoreOutputs).decode(client.recv_multipart(copy=False))
    return found


def told(client: zmq.Socket[bytes]) -> list[tuple[str, list[int]]]:
    return [(one.request_id, one.new_token_ids) for one in received(client).outputs]


def test_each_client_is_told_its_own_in_order(core: Core, clients: Sequence[zmq.Socket[bytes]]) -> None:
    core.output_queue.put_nowait((1, outputs("early", [1])))  # before there are sockets
    core.start()
    assert told(clients[1]) == [("early", [1])]
    for number in range(100):
        core.output_queue.put_nowait((number % CLIENTS, outputs("a", [number])))
    for number in range(100):
        assert told(clients[number % CLIENTS]) == [("a", [number])]
    core.output_queue.put_nowait((0, outputs("a", [1])))
    assert received(clients[0]).engine_index == INDEX
    core.end()


def test_everybody_is_told_of_its_end_after_all_else(core: Core, clients: Sequence[zmq.Socket[bytes]]) -> None:
    core.start()
    core.output_queue.put_nowait((0, outputs("a", [1])))
    core.end()
    assert told(clients[0]) == [("a", [1])]
    assert [client.recv() for client in clients] == [EngineCoreProc.ENGINE_CORE_DEAD] * CLIENTS


def test_several_threads_may_tell_something(core: Core, clients: Sequence[zmq.Socket[bytes]]) -> None:
    """The one that computes, and the one that reads requests and refuses some."""
    core.start()
    each = 200

    def tell(name: str) -> None:
        for number in range(each):
            core.output_queue.put_nowait((0, outputs(name, [number])))

    tellers = [threading.Thread(target=tell, args=(name,)) for name in "abc"]
    for teller in tellers:
        teller.start()
    found: dict[str, list[int]] = {name: [] for name in "abc"}
    for _ in range(3 * each):
        for name, ids in told(clients[0]):
            found[name] += ids
    assert found == {name: list(range(each)) for name in "abc"}
    core.end()


def test_what_cannot_be_sent_fails_whoever_tells_it(core: Core, clients: Sequence[zmq.Socket[bytes]]) -> None:
    """The thread that computes, as a rule: the engine ends then, and is started again."""
    core.output_queue.put_nowait((0, outputs("a", [1])))
    core.start()
    assert told(clients[0]) == [("a", [1])]  # from here on it is open
    unheard_of: Any = SimpleNamespace()
    with pytest.raises(TypeError):
        core.output_queue.put_nowait((0, unheard_of))
    core.output_queue.put_nowait((0, outputs("b", [2])))
    assert told(clients[0]) == [("b", [2])]
    core.end()


def test_what_comes_after_its_end_is_nobodys(core: Core, clients: Sequence[zmq.Socket[bytes]]) -> None:
    core.start()
    core.end()
    core.output_queue.put_nowait((0, outputs("a", [1])))  # into sockets that are closed
    assert clients[0].recv() == EngineCoreProc.ENGINE_CORE_DEAD


@pytest.mark.parametrize(
    ("coordinator", "speculative", "stages"), [("ipc://coordinator", 0, 1), (None, 3, 1), (None, 0, 2)]
)
def test_with_a_coordinator_or_where_nothing_is_coalesced_it_is_vllms_own(
    monkeypatch: pytest.MonkeyPatch, core: Core, coordinator: str | None, speculative: int, stages: int
) -> None:
    called: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sending, "_vllm_process_output_sockets", lambda *arguments: called.append(arguments))
    core.scheduler.num_spec_tokens = speculative
    core.scheduler.parallel_config.pipeline_parallel_size = stages
    sending._process_output_sockets(core, core.paths, coordinator, INDEX)  # noqa: SLF001
    assert called == [(core, core.paths, coordinator, INDEX)]
    core.output_queue.put_nowait((-1, outputs("a", [1])))
    assert core.output_queue.get_nowait()[0] == -1
