"""How EngineCore tells its clients: whoever has something to tell sends it.

VLLM leaves that to a thread of its own. It is woken, waits until the thread that computes gives Python's lock away,
which by then is busy with the next step, packs the message and sends it: most of a millisecond, for a message that
takes a tenth of one, before a caller's first token is on its way. Where outputs are coalesced (`coalesce.py`) there
are few messages, so the thread that computes packs and sends them itself, before it goes on.

`install` runs in the engine host before it forks EngineCore. It bends two things of vLLM 0.32's EngineCoreProc (proven
by `tests/engine/test_vllm_internals.py`). Where nothing is coalesced, or there is a coordinator, as of data-parallel
engines, all is left as vLLM has it.
"""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import zmq
from vllm.utils.network_utils import make_zmq_socket
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.serial_utils import MsgpackEncoder

from gateway.engines.vllm.coalesce import coalesces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LINGER_MS = 4000
"""As vLLM's own: the engine's last word is that it is dead, and is to arrive."""

_vllm_process_output_sockets = EngineCoreProc.process_output_sockets


class Outbox(queue.Queue[Any]):
    """EngineCore's queue of outputs. Once it is opened what is put is sent, by the thread that puts it."""

    def __init__(self) -> None:
        super().__init__()
        self._send: Callable[[Any], None] | None = None

    def open(self, send: Callable[[Any], None]) -> None:
        """Send what is in it, and from now on everything. One thing is sent at a time."""
        with self.mutex:
            while self.queue:
                send(self.queue.popleft())
            self._send = send

    def close(self) -> None:
        """Send nothing more: what is put from now on comes too late for anybody."""
        with self.mutex:
            self._send = _forget

    def _put(self, item: Any) -> None:  # called with the mutex
        if self._send is None:
            super()._put(item)
        else:
            self._send(item)


class Sender:
    """Sends outputs to clients.

    Args:
        sockets: one for each client.
        engine_index: which of several engines this is.
    """

    def __init__(self, sockets: Sequence[Any], engine_index: int) -> None:
        self._sockets = sockets
        self._engine_index = engine_index
        self._encoder = MsgpackEncoder()
        self._ended = threading.Event()

    def send(self, output: tuple[int, Any] | bytes) -> None:
        """Send outputs to the client that they are for; that the engine is dead to all."""
        if isinstance(output, bytes):
            for socket in self._sockets:
                socket.send(output)
            self._ended.set()
            return
        client, outputs = output
        outputs.engine_index = self._engine_index
        self._sockets[client].send_multipart(self._encoder.encode(outputs), copy=False)

    def wait(self) -> None:
        """Until the last word has been sent."""
        self._ended.wait()


def _forget(_: object) -> None:
    pass


def install() -> None:
    """Bend vLLM's EngineCore in this process, and so in every EngineCore that is forked from it."""

    def keep(core: EngineCoreProc, _: queue.Queue[Any]) -> None:  # what vLLM would have there
        vars(core)["outbox"] = Outbox()

    EngineCoreProc.output_queue = property(lambda core: vars(core)["outbox"], keep)
    EngineCoreProc.process_output_sockets = _process_output_sockets


def _process_output_sockets(
    core: EngineCoreProc, output_paths: list[str], coord_output_path: str | None, engine_index: int
) -> None:
    if coord_output_path is not None or not coalesces(core.scheduler):
        _vllm_process_output_sockets(core, output_paths, coord_output_path, engine_index)
        return
    with zmq.Context() as context, ExitStack() as stack:
        sockets = [
            stack.enter_context(make_zmq_socket(context, path, zmq.PUSH, linger=_LINGER_MS)) for path in output_paths
        ]
        sender = Sender(sockets, engine_index)
        core.output_queue.open(sender.send)
        sender.wait()
        core.output_queue.close()  # before the sockets
