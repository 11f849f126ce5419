"""One answer on its way from the event loop, where vLLM makes it, to the thread that serves the request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vllm.inputs.engine import tokens_input

from gateway.engine import Cancelled, Delta, Event, Finish
from gateway.engines.vllm.run import Run, Submission
from gateway.errors import InternalError
from gateway.relay import Relay

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.sampling_params import SamplingParams

    from gateway.engine import Lease, Passing, Standing, Terms, Timings
    from gateway.engines.vllm.session import Session


class TextGeneration:
    """A prompt's answer as text. See `gateway.engine.EngineGeneration`."""

    def __init__(  # noqa: PLR0913 - all that a request is
        self,
        session: Session,
        prompt_ids: list[int],
        params: SamplingParams,
        terms: Terms,
        loop: asyncio.AbstractEventLoop,
        *,
        stream: bool,
    ) -> None:
        self._session = session
        self._loop = loop
        self._events: Relay[Event] = Relay()
        self._produced = 0
        self._begun = False
        self._run = Run(session, Submission(tokens_input(prompt_ids), params), self._take, stream=stream)
        loop.call_soon_threadsafe(self._run.start, terms)

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        return self._events.get(timeout, passing)

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._run.cancel)

    def wake(self) -> None:
        self._events.put(None)

    def standings(self) -> Sequence[Standing]:
        return self._run.standings()

    def timings(self) -> Timings | None:
        return None if self._run.times is None else self._run.times.timings()

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        self._loop.call_soon_threadsafe(partial(self._run.extend, lease, last=last))

    def _take(self, output: RequestOutput | Exception) -> None:
        """In the event loop: the next piece."""
        if isinstance(output, Exception):
            self._events.put(output)
            return
        choice = output.outputs[0]
        self._produced += len(choice.token_ids)
        if choice.token_ids or choice.text:
            # What ends an answer wakes its reader anyway.
            hand_on = self._events.put if output.finished else self._events.pass_on
            hand_on(self._delta(choice))
        if output.finished:
            self._events.put(self._finish(choice, output.num_cached_tokens or 0))

    def _delta(self, choice: CompletionOutput) -> Delta:
        text = choice.text
        if not self._begun and text:
            self._begun, text = True, self._session.beginning(text, choice.token_ids)
        return Delta(text, choice.token_ids, self._run.first_token_at)

    def _finish(self, choice: CompletionOutput, cached_tokens: int) -> Finish | Exception:
        match choice.finish_reason:
            case "stop" | "length" as reason:
                return Finish(reason, self._produced, cached_tokens)
            case "abort":
                return Cancelled(self._produced)
            case other:
                return InternalError(f"vLLM ended a request with {other!r}")
