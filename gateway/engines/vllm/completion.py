"""One request of OpenAI's API on its way between a request's thread and vLLM's serving classes in the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any

from gateway.engine import Cancelled, Chunk, Event, Finish
from gateway.engines.vllm.body import checked
from gateway.engines.vllm.chunks import Form, is_plain
from gateway.engines.vllm.lease import cap
from gateway.engines.vllm.openai import current, in_event_loop
from gateway.engines.vllm.refusals import Names
from gateway.engines.vllm.run import Run, Submission
from gateway.engines.vllm.timings import merged
from gateway.errors import GatewayError, InternalError
from gateway.relay import Relay
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Generator, Sequence

    from vllm.inputs.engine import TokensInput
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

    from gateway.engine import Lease, OpenAIRequest, Passing, Standing, Terms, Timings
    from gateway.engines.vllm.session import Session

log = logging.getLogger("gateway.engine")

_EVENT = "data: "
_DONE = "[DONE]"
_ERROR = '{"error"'


@dataclass(frozen=True, slots=True)
class _Understood:
    """The prompts are rendered and wait to be admitted."""

    prompt_tokens: int
    limits: tuple[int, ...]


class Completion:
    """A request of OpenAI's, both `gateway.engine.Prepared` and `gateway.engine.EngineGeneration`.

    vLLM's serving classes run as one coroutine. They give their prompts to `generate`; the first of them that is read
    says what the request needs, and waits for `start`. That far the coroutine of a conversation of text waits for
    nothing: it begins in the request's thread, which has it all understood without a word to another one, and goes on
    in the event loop. Any other one is a task there from its beginning.
    """

    def __init__(self, session: Session, request: OpenAIRequest, loop: asyncio.AbstractEventLoop) -> None:
        self.prompt_tokens = 0
        self.limits: tuple[int, ...] = ()
        self._session = session
        self._request = request
        self._loop = loop
        self._events: Relay[_Understood] = Relay()
        self._early: Event | None = None  # what came without any prompt being admitted
        self._feeds: list[_Feed] = []
        self._admitted = asyncio.Event()
        self._terms: Terms | None = None
        self._asked = False
        self._told = 0  # ids that the events so far have accounted for
        self._plain = False
        self._form: Form | None = None  # of the chunks in the middle of a plain stream, once vLLM has written one
        self._context = copy_context()
        self._work: Coroutine[Any, Any, None] | None = None
        self._task: asyncio.Task[None] | None = None  # which does it in the event loop
        self._cancelling: asyncio.Task[None] | None = None
        self._failing: asyncio.Task[None] | None = None
        self._over = False

    # In the request's thread.

    def prepare(self, timeout: float | None) -> None:
        """Have vLLM understand the request; returns when it could be started.

        Raises:
            GatewayError: it is at fault.
            TimeoutError: it took too long.
        """
        # Here, not in the event loop: a large body would stop every stream while it is looked at.
        body = checked(self._request, self._session.encoder.template)
        self._request = replace(self._request, body=body)
        serving = self._session.openai
        self._plain = serving.writes_plainly and is_plain(self._request)
        if serving.needs_no_wait(self._request):
            self._begin_here()
            event = self._events.get(timeout)
        else:
            self._loop.call_soon_threadsafe(self._begin)
            with turn.away():
                event = self._events.get(timeout)
        if isinstance(event, _Understood):
            self.prompt_tokens, self.limits = event.prompt_tokens, event.limits
        else:
            self._early = event

    def start(self, terms: Terms, max_tokens: int) -> Completion:
        """Let the engine have it; at most so many ids for each sequence."""
        self._terms = terms
        self._loop.call_soon_threadsafe(self._admit, max_tokens)
        return self

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        if self._early is not None:
            early, self._early = self._early, None
            return early
        event = self._events.get(timeout, passing)
        if isinstance(event, _Understood):
            raise TypeError("understood twice")
        return event

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def wake(self) -> None:
        self._events.put(None)

    def standings(self) -> Sequence[Standing]:
        return [one for feed in self._feeds for one in feed.run.standings()]

    def timings(self) -> Timings | None:
        return merged(None if feed.run.times is None else feed.run.times.timings() for feed in self._feeds)

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        self._loop.call_soon_threadsafe(partial(self._extend, lease, last=last))

    def _begin_here(self) -> None:
        self._work = self._serve()
        try:
            waits_for = self._context.run(self._work.send, None)
        except StopIteration:  # it was refused, and that told
            return
        if waits_for is not None or not self._asked:
            self._work.close()
            raise TypeError("vLLM waited for something outside of its event loop")

    # In the event loop, but for what is done before that.

    def generate(
        self, prompt: TokensInput, params: SamplingParams, options: dict[str, Any]
    ) -> AsyncIterator[RequestOutput]:
        """Called by vLLM's serving classes for each prompt, see `openai.Meter`."""
        feed = _Feed(
            self,
            self._session,
            Submission(prompt, params, options, Names.of(self._request)),
            stream=self._request.stream,
        )
        self._feeds.append(feed)
        return self._read(feed)

    async def _read(self, feed: _Feed) -> AsyncIterator[RequestOutput]:
        if not self._asked:
            self._asked = True
            prompt_tokens = sum(len(one.submission.prompt["prompt_token_ids"]) for one in self._feeds)
            limits = tuple(params.max_tokens or 0 for params in self._params() for _ in range(params.n))
            self._events.put(_Understood(prompt_tokens, limits))
            await _going_on_in_event_loop()
        await self._admitted.wait()
        assert self._terms is not None  # noqa: S101 - `start` sets them before it admits
        feed.run.start(self._terms)
        async for output in feed:
            yield output

    def _begin(self) -> None:
        self._work = self._work or self._serve()
        self._task = self._loop.create_task(self._work, context=self._context)

    def _admit(self, max_tokens: int) -> None:
        for params in self._params():
            cap(params, max_tokens)
        self._admitted.set()
        if self._task is None and not self._over:
            self._begin()

    def _extend(self, lease: Lease, *, last: bool) -> None:
        for feed in self._feeds:
            feed.run.extend(lease, last=last)

    async def _serve(self) -> None:
        current.set(self)
        try:
            answer = await self._session.openai.answer(self._request)
            if isinstance(answer, str):
                self._tell(answer)
            else:
                async for event in answer:
                    self._tell_event(event.removeprefix(_EVENT).rstrip("\n"))
            self._end(self._finish())
        except GatewayError as error:
            await self._give_up(error)
        except Exception as error:
            # Without its text, which may quote what the caller wrote.
            shown = Exception(type(error).__name__).with_traceback(error.__traceback__)
            log.error("vLLM failed to serve a request", exc_info=shown)  # noqa: TRY400 - not the exception itself
            await self._give_up(InternalError(type(error).__name__))

    def _tell_event(self, data: str) -> None:
        if data.startswith(_ERROR):
            raise InternalError("vLLM failed to write a stream")
        if data != _DONE:
            if self._plain and self._form is None:
                self._form = Form.of(self._request, data, self._feeds[0].text)
            self._tell(data)

    def tell_text(self, text: str) -> bool:
        """Tell the next text of a plain stream without vLLM's classes; False where they are to do it."""
        if self._form is None:
            return False
        try:
            chunk = self._form.chunk(text)
        except ValueError as error:  # raised here it would end vLLM's reading for everybody
            log.warning("a text could not be written: %s", type(error).__name__)
            self._plain, self._form = False, None
            return False
        self._tell(chunk)
        return True

    def _tell(self, body: str) -> None:
        produced = self._produced()
        self._events.pass_on(Chunk(body, produced - self._told, self._first_token_at()))
        self._told = produced

    def _finish(self) -> Finish:
        lengths = [reason == "length" for feed in self._feeds for reason in feed.reasons.values()]
        cached = sum(feed.cached_tokens for feed in self._feeds)
        return Finish("length" if any(lengths) else "stop", self._produced(), cached)

    def _params(self) -> list[SamplingParams]:
        return [feed.submission.params for feed in self._feeds]

    def _produced(self) -> int:
        return sum(feed.run.produced for feed in self._feeds)

    def _first_token_at(self) -> float | None:
        return min((at for feed in self._feeds if (at := feed.run.first_token_at) is not None), default=None)

    def fail(self, error: GatewayError) -> None:
        """A prompt's run has failed."""
        if not self._over and self._failing is None:
            self._failing = self._loop.create_task(self._give_up(error))

    def _cancel(self) -> None:
        if not self._over and self._cancelling is None:
            self._cancelling = self._loop.create_task(self._run_cancel())

    async def _run_cancel(self) -> None:
        """Take all of it out of the engine; where all has ended by itself, tell the answer as if nobody had asked."""
        if self._admitted.is_set():
            await self._empty_the_engine()
        if not self._feeds or not all(feed.ended for feed in self._feeds):
            self._stop(Cancelled(self._produced()))
        if self._task is None and self._work is not None:  # it never came here
            self._work.close()

    async def _give_up(self, error: GatewayError) -> None:
        """A part failed: take out the others."""
        await self._empty_the_engine()
        self._stop(error)

    async def _empty_the_engine(self) -> None:
        for feed in self._feeds:
            feed.run.cancel()
        for feed in self._feeds:
            await feed.run.wait()

    def _stop(self, event: Exception) -> None:
        self._end(event)
        # vLLM's serving classes would log a stack for any other exception that they are told of.
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _end(self, event: Event | Exception) -> None:
        if not self._over:
            self._over = True
            self._events.put(event)


@coroutine
def _going_on_in_event_loop() -> Generator[None]:
    """Where a coroutine waits that was begun in a request's thread, until the event loop has it."""
    if not in_event_loop():
        yield


class _Feed:
    """The outputs of one prompt, as vLLM's serving classes read them."""

    def __init__(self, completion: Completion, session: Session, submission: Submission, *, stream: bool) -> None:
        self.submission = submission
        self.run = Run(session, submission, self._take, stream=stream)
        self._completion = completion
        self.reasons: dict[int, str | None] = {}
        self.cached_tokens = 0
        self.ended = False  # by itself
        self.text = ""  # of its first choice in the last output that was read
        self._unread: list[int] = []  # ids of texts that were told already
        self._waiting: deque[RequestOutput] = deque()
        self._ready = asyncio.Event()

    def _take(self, output: RequestOutput | Exception) -> None:
        if isinstance(output, Exception):
            if isinstance(output, GatewayError):
                self._completion.fail(output)
            return
        output.outputs.sort(key=lambda choice: choice.index)
        self.cached_tokens = max(self.cached_tokens, output.num_cached_tokens or 0)
        self.reasons |= {choice.index: choice.finish_reason for choice in output.outputs}
        self.ended = output.finished
        choice = output.outputs[0]
        if not output.finished and not self._waiting and self._completion.tell_text(choice.text):
            self._unread += choice.token_ids
            return
        if self._unread:  # for the usage, which vLLM's classes count
            choice.token_ids, self._unread = [*self._unread, *choice.token_ids], []
        self._waiting.append(output)
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[RequestOutput]:
        finished = False
        while not finished:
            while not self._waiting:
                self._ready.clear()
                await self._ready.wait()
            output = self._waiting.popleft()
            finished, self.text = output.finished, output.outputs[0].text
            yield output
