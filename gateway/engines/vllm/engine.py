"""The client in each worker: vLLM's AsyncLLM in a thread with its own event loop, attached to the engine host.

Requests come from gunicorn's threads and are handed to the loop; events come back through a queue. The engine may
be replaced under way (`link.py`): what runs then fails with `UnavailableError`, what comes later uses the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import socket
import threading
import time
from multiprocessing.connection import Client
from typing import TYPE_CHECKING

from gateway.engine import Cancelled, Delta, Event, Finish, Model
from gateway.engines.vllm.link import SOCKET_NAME, Attachment, Lost, Orphans, Progress
from gateway.errors import GatewayError, InternalError, InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    from gateway.engine import EngineStatus, Generation, Message, Sampling

# How long a caller waits for EngineCore to say what it had produced. Only an engine that hangs takes longer.
_ABORT_SECONDS = 5.0
_RECONNECT_SECONDS = 0.05

log = logging.getLogger("gateway.engine")


class VllmEngine:
    """The engine port over vLLM. See `gateway.engine.Engine` for what each method promises.

    Args:
        folder: where the engine host listens.
        names: what requests may call the model; the first is the default.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._session: _Session | None = None
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
        self._stopping.set()
        if self._connection is not None:
            # Not `close`: another thread is reading from it, and is to see its end.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as connection:
                connection.shutdown(socket.SHUT_RDWR)
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._detach(), self._loop).result(_ABORT_SECONDS)
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
        return session.models(self._names) if session is not None else ()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return self._require_session().encoder.encode(messages)

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, *, stream: bool = True) -> Generation:
        session = self._require_session()
        generation = _Generation(session, list(prompt_ids), session.params(sampling, stream=stream), self._loop)
        self._loop.call_soon_threadsafe(generation.start)
        return generation

    def load(self) -> tuple[int, int]:
        session = self._require_session()
        future = asyncio.run_coroutine_threadsafe(session.load(), self._loop)
        return future.result(_ABORT_SECONDS)

    def _require_session(self) -> _Session:
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
                await self._detach()
                self._session = await _Session.attach(message)
                log.info("attached to engine %d in slot %d", message.epoch, message.slot)
            case Lost():
                await self._detach()
            case Orphans() if self._session is not None:
                await self._session.abort_client(message.slot)

    async def _detach(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _Session:
    """One epoch of the engine, seen from this worker. Lives in the event loop."""

    def __init__(self, attachment: Attachment, llm: AsyncLLM) -> None:
        from gateway.engines.vllm.prompts import PromptEncoder  # noqa: PLC0415

        self.llm = llm
        self._tokenizer = llm.renderer.get_tokenizer()
        self.encoder = PromptEncoder(self._tokenizer)
        self.generations: set[_Generation] = set()
        self._created = attachment.created
        self._model_config = attachment.vllm_config.model_config
        self._defaults = self._model_config.get_diff_sampling_param()
        # An answer's length is the caller's and its product's to limit, not a generation config's.
        self._defaults.pop("max_tokens", None)

    @classmethod
    async def attach(cls, attachment: Attachment) -> _Session:
        """Take the slot, abort what dead workers left behind, and make one request to see that the engine answers."""
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 - takes seconds, see _import_vllm

        llm = AsyncLLM.from_vllm_config(
            attachment.vllm_config,
            disable_log_stats=True,
            client_addresses={
                "input_address": attachment.input_address,
                "output_address": attachment.output_address,
            },
            client_count=attachment.slots,
            client_index=attachment.slot,
        )
        session = cls(attachment, llm)
        for slot in attachment.orphans:
            await session.abort_client(slot)
        return session

    @property
    def broken(self) -> bool:
        """Whether vLLM's client has given up on the engine."""
        return bool(self.llm.errored)

    def models(self, names: Sequence[str]) -> Sequence[Model]:
        config = self._model_config
        return [Model(name, names[0], config.max_model_len, self._created) for name in names]

    def params(self, sampling: Sampling, *, stream: bool) -> SamplingParams:
        from gateway.engines.vllm.sampling import sampling_params  # noqa: PLC0415

        try:
            return sampling_params(sampling, self._defaults, stream=stream)
        except ValueError as error:
            raise _refused(error, structured=sampling.json_schema is not None) from error

    def beginning(self, text: str, token_ids: Sequence[int]) -> str:
        """The first text of an answer as the tokenizer alone decodes it.

        vLLM decodes it as a continuation of the prompt. Tokenizers such as Llama's mark the beginning of a word, and
        decoding an answer by itself drops the space before its first word.
        """
        if text.startswith(" ") and not self._tokenizer.decode(token_ids, skip_special_tokens=True).startswith(" "):
            return text[1:]
        return text

    async def abort(self, request_id: str) -> int | None:
        """Abort a request; how many ids it had produced, or None where the engine had already finished it."""
        counts = await asyncio.wait_for(
            self.llm.engine_core.call_utility_all_async("gateway_abort", [request_id]), _ABORT_SECONDS
        )
        await self.llm.abort(request_id, internal=True)
        return next((count[request_id] for count in counts if request_id in count), None)

    async def abort_client(self, slot: int) -> None:
        aborted = await self.llm.engine_core.call_utility_all_async("gateway_abort_client", slot)
        if any(aborted):
            log.warning("aborted what a dead worker left in the engine: %d requests", sum(map(len, aborted)))

    async def load(self) -> tuple[int, int]:
        counts = await self.llm.engine_core.call_utility_all_async("gateway_load")
        return sum(running for running, _ in counts), sum(waiting for _, waiting in counts)

    def close(self) -> None:
        for generation in list(self.generations):
            generation.fail(UnavailableError("The model restarted while it answered. Try again.", retry_after=5))
        self.llm.shutdown()


class _Generation:
    """One answer: fed in the event loop, read in a request's thread."""

    _numbers = itertools.count(1)

    def __init__(
        self,
        session: _Session,
        prompt_ids: list[int],
        params: SamplingParams,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._session = session
        self._prompt_ids = prompt_ids
        self._params = params
        self._loop = loop
        self._events: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._request_id: str | None = None  # vLLM's internal one, once it is in the engine
        self._added = asyncio.Event()
        self._produced = 0
        self._first_ids: list[int] | None = []  # until the first text
        self._task: asyncio.Task[None] | None = None
        self._cancel: asyncio.Task[None] | None = None
        self._over = False

    def next(self, timeout: float | None) -> Event:
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(event, Exception):
            raise event
        return event

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._start_cancel)

    # Everything below runs in the event loop.

    def start(self) -> None:
        self._session.generations.add(self)
        self._task = self._loop.create_task(self._run())

    def fail(self, error: GatewayError) -> None:
        self._end(error)
        if self._task is not None:
            self._task.cancel()

    def _end(self, event: Finish | Exception) -> None:
        if not self._over:
            self._over = True
            self._added.set()
            self._events.put(event)
            self._session.generations.discard(self)

    async def _run(self) -> None:
        from vllm.exceptions import VLLMClientError  # noqa: PLC0415
        from vllm.inputs import TokensPrompt  # noqa: PLC0415

        llm = self._session.llm
        try:
            collector = await llm.add_request(
                f"get-data-{next(self._numbers)}",
                TokensPrompt(prompt_token_ids=self._prompt_ids),
                self._params,
            )
            self._request_id = collector.request_id
            self._added.set()
            while not self._over:
                self._publish(collector.get_nowait() or await collector.get())
        except (VLLMClientError, ValueError) as error:
            self._end(_refused(error, structured=self._params.structured_outputs is not None))
        except asyncio.CancelledError:
            if not self._over:
                raise
        except Exception as error:  # noqa: BLE001 - any end of the engine ends the request
            # vLLM's client has lost the engine; the host says so as well, and a new session follows.
            # Its text may quote what it was working on, so only its class is told.
            log.error("the engine failed under a request: %s", type(error).__name__)  # noqa: TRY400
            self._end(
                UnavailableError(
                    "The model failed while it answered. Try again.", detail=type(error).__name__, retry_after=5
                )
            )

    def _publish(self, output: RequestOutput) -> None:
        completion = output.outputs[0]
        self._produced += len(completion.token_ids)
        text = completion.text
        if self._first_ids is not None:
            self._first_ids += completion.token_ids
            if text:
                text, self._first_ids = self._session.beginning(text, self._first_ids), None
        if text or completion.token_ids:
            self._events.put(Delta(text, completion.token_ids))
        if not output.finished:
            return
        match completion.finish_reason:
            case "stop" | "length" as reason:
                self._end(Finish(reason, self._produced, output.num_cached_tokens or 0))
            case "abort":
                self._end(Cancelled(self._produced))
            case other:
                self._end(InternalError(f"vLLM ended a request with {other!r}"))

    def _start_cancel(self) -> None:
        if not self._over and self._cancel is None:
            self._cancel = self._loop.create_task(self._run_cancel())

    async def _run_cancel(self) -> None:
        await self._added.wait()
        if self._over or self._request_id is None:
            return
        try:
            produced = await self._session.abort(self._request_id)
        except Exception as error:  # noqa: BLE001 - a hung engine: the caller is gone, and the count is a lower bound
            log.warning("the engine did not say what an aborted request had produced: %s", type(error).__name__)
            produced = self._produced
        if produced is None:
            return  # the engine had finished by itself: its last output is on the way and ends this
        self._end(Cancelled(produced))
        if self._task is not None:
            self._task.cancel()


def _import_vllm() -> None:
    """Import vLLM here and now: the first import takes seconds, and a thread that needs it later must not wait."""
    started = time.monotonic()
    import vllm.v1.engine.async_llm  # noqa: PLC0415

    import gateway.engines.vllm.prompts  # noqa: PLC0415
    import gateway.engines.vllm.sampling  # noqa: F401, PLC0415

    log.debug("imported vLLM %s in %.1f s", vllm.__version__, time.monotonic() - started)


def _refused(error: Exception, *, structured: bool) -> InvalidRequestError:
    """What vLLM refuses, in its own words: they name the parameter and never hold the prompt."""
    words = str(error).partition("\n")[0].rstrip(".")
    if structured:
        return InvalidRequestError(
            f"Field `response_format` asks for what the model cannot follow: {words}.", param="response_format"
        )
    return InvalidRequestError(f"The model cannot do this: {words}.")
