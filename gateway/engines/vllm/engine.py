"""The client in each worker: vLLM's AsyncLLM in a thread with its own event loop, attached to the engine host.

Requests come from gunicorn's threads and are handed to the loop; events come back through a queue. The engine may
be replaced under way (`link.py`): what runs then fails with `UnavailableError`, what comes later uses the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import threading
import time
from multiprocessing.connection import Client
from typing import TYPE_CHECKING

from gateway.cores import leave_to_engine
from gateway.engine import nobody_to_tell
from gateway.engines.vllm import collector
from gateway.engines.vllm.link import SOCKET_NAME, Attachment, Lost, Orphans, Progress
from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from gateway.engine import (
        Activity,
        EngineGeneration,
        EngineStatus,
        Message,
        Model,
        OpenAIRequest,
        Prepared,
        Sampling,
        Terms,
        Work,
    )
    from gateway.engines.vllm.session import Session

_ANSWER_SECONDS = 5.0
_RECONNECT_SECONDS = 0.05

log = logging.getLogger("gateway.engine")


class VllmEngine:
    """The engine port over vLLM. See `gateway.engine.Engine` for what each method promises.

    Args:
        folder: where the engine host listens.
        names: what requests may call the model; the first is the default.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.on_lost: Callable[[Mapping[str, int]], None] = nobody_to_tell
        self._folder = folder
        self._names = tuple(names)
        self._session: Session | None = None
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._threads = [
            threading.Thread(target=self._loop.run_forever, name="engine-loop", daemon=True),
            threading.Thread(target=self._follow_host, name="engine-link", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._let_go(), self._loop).result(_ANSWER_SECONDS)
        self._stopping.set()
        if self._connection is not None:
            # Not `close`: another thread is reading from it, and is to see its end.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as connection:
                connection.shutdown(socket.SHUT_RDWR)
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)

    def status(self) -> EngineStatus:
        progress = Progress.read(self._folder)
        if self._session is not None:
            return Progress("ready", progress.since).status()
        if progress.phase == "ready":  # the host is; this worker is not yet
            return Progress("attaching", progress.since, progress.attempt).status()
        return progress.status()

    def models(self) -> Sequence[Model]:
        session = self._session
        return session.models if session is not None else ()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return self._require_session().encoder.encode(messages)

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, terms: Terms, *, stream: bool = True
    ) -> EngineGeneration:
        from gateway.engines.vllm.generation import TextGeneration  # noqa: PLC0415 - needs vLLM, see _import_vllm

        session = self._require_session()
        return TextGeneration(session, list(prompt_ids), session.params(sampling), terms, self._loop, stream=stream)

    def prepare(self, request: OpenAIRequest, timeout: float) -> Prepared:
        from gateway.engines.vllm.completion import Completion  # noqa: PLC0415 - needs vLLM, see _import_vllm

        completion = Completion(self._require_session(), request, self._loop)
        try:
            completion.prepare(timeout)
        except TimeoutError:
            completion.cancel()
            raise
        return completion

    def load(self, timeout: float = _ANSWER_SECONDS) -> tuple[int, int]:
        session = self._require_session()
        future = asyncio.run_coroutine_threadsafe(session.load(timeout), self._loop)
        return future.result()

    def work(self, timeout: float = _ANSWER_SECONDS) -> Work:
        session = self._require_session()
        future = asyncio.run_coroutine_threadsafe(session.work(timeout), self._loop)
        return future.result()

    def activity(self, timeout: float = _ANSWER_SECONDS) -> Activity:
        session = self._require_session()
        future = asyncio.run_coroutine_threadsafe(session.activity(timeout), self._loop)
        return future.result()

    def _require_session(self) -> Session:
        session = self._session
        if session is None or session.broken:
            status = self.status()
            raise UnavailableError(
                f"The model is not ready: it is {status.phase}, step {status.step} of {status.steps}. "
                "Try again after the time in Retry-After.",
                retry_after=status.retry_after,
            )
        return session

    def _follow_host(self) -> None:
        """Thread: stay connected to the engine host and do what it says."""
        while not self._stopping.is_set():
            try:
                _import_vllm()
                with Client(str(self._folder / SOCKET_NAME), "AF_UNIX") as connection:
                    self._connection = connection
                    while not self._stopping.is_set():
                        message = connection.recv()
                        asyncio.run_coroutine_threadsafe(self._handle(message), self._loop).result()
            except (EOFError, OSError):
                # The host is not there yet, or has died: its parent starts another one.
                asyncio.run_coroutine_threadsafe(self._detach(), self._loop).result()
                self._stopping.wait(_RECONNECT_SECONDS)
            except Exception:
                log.exception("attaching to the engine failed")
                self._stopping.wait(1.0)

    async def _handle(self, message: object) -> None:
        match message:
            case Attachment():
                from gateway.engines.vllm.session import Session  # noqa: PLC0415 - needs vLLM, see _import_vllm

                await self._detach()
                session = Session.attach(message, self._names)
                for slot in message.orphans:
                    await self._clear(session, slot)
                self._session = session
                collector.leave_to_the_end()
                _settle_environment()
                leave_to_engine()  # what it imports is imported
                log.info("attached to engine %d in slot %d", message.epoch, message.slot)
            case Lost():
                await self._detach()
            case Orphans() if self._session is not None:
                await self._clear(self._session, message.slot)

    async def _clear(self, session: Session, slot: int) -> None:
        """Take out of the engine what a dead worker left there, and say what that had produced."""
        produced = await session.abort_client(slot)
        if produced:
            log.warning("a worker died: %d of its last requests were in the engine's memory", len(produced))
            await asyncio.to_thread(self.on_lost, produced)

    async def _let_go(self) -> None:
        """What still runs is taken out of the engine first, which says what it has produced."""
        if self._session is not None:
            await self._session.give_up(
                UnavailableError("The gateway was stopped while it answered. Send the request again.", retry_after=5)
            )
        await self._detach()

    async def _detach(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _settle_environment() -> None:
    """Have vLLM read its variables no more, as it does in EngineCore: some are looked up for every id."""
    import vllm.envs  # noqa: PLC0415 - needs vLLM, see _import_vllm

    vllm.envs.enable_envs_cache()


@functools.cache
def _import_vllm() -> None:
    """Import vLLM here and now, once: it takes seconds, and a thread that needs it later must not wait."""
    started = time.monotonic()
    with collector.importing():
        import vllm.v1.engine.async_llm  # noqa: PLC0415

        import gateway.engines.vllm.completion  # noqa: PLC0415
        import gateway.engines.vllm.generation  # noqa: PLC0415
        import gateway.engines.vllm.session  # noqa: F401, PLC0415
    log.debug("imported vLLM %s in %.1f s", vllm.__version__, time.monotonic() - started)
