"""One request inside vLLM: put in, read out, taken out again with an exact count. All of it runs in the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind

from gateway.engine import Cancelled, Standing
from gateway.engines.vllm.lease import cap, put_first
from gateway.engines.vllm.refusals import GET_DATA, Names, refused, unfit
from gateway.engines.vllm.timings import mark
from gateway.errors import GatewayError, InternalError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vllm.inputs.engine import TokensInput
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.output_processor import RequestState

    from gateway.engine import Lease, Terms
    from gateway.engines.vllm.session import Session
    from gateway.engines.vllm.timings import Times

# Ids between two reports that vLLM makes on a request by itself. The first id and the end it always reports; what is
# between them is collected in a beat. An output for each id would cost seven times as much as making text of it.
_NEVER = 1 << 30

log = logging.getLogger("gateway.engine")


@dataclass(frozen=True, slots=True)
class Submission:
    """What vLLM is given.

    Attributes:
        prompt: its ids.
        params: how to choose tokens; what vLLM reports, and when, is set by `Run`.
        options: more of `AsyncLLM.add_request`'s.
        names: what the caller calls the fields that vLLM may refuse.
    """

    prompt: TokensInput
    params: SamplingParams
    options: dict[str, Any] = field(default_factory=dict)
    names: Names = GET_DATA


class Run:
    """One request of vLLM's, with one or several choices.

    Args:
        session: the engine.
        submission: what it is to answer.
        take: gets the outputs, pieces merged, the last one `finished`; or the exception that ended it all.
        stream: whether somebody reads along. If not there is one output, at the end.

    Attributes:
        first_token_at: monotonic seconds at which the first id was here.
        times: when the engine did what; None for a request that is not traced.
    """

    def __init__(
        self,
        session: Session,
        submission: Submission,
        take: Callable[[RequestOutput | Exception], None],
        *,
        stream: bool,
    ) -> None:
        self.first_token_at: float | None = None
        self.times: Times | None = None
        self._leave_times: Callable[[], None] | None = None
        self._session = session
        self._submission = submission
        params = submission.params
        params.output_kind = RequestOutputKind.DELTA
        params.skip_clone = True  # they are this run's own already
        params.stream_interval = _NEVER
        self._take = take
        self._stream = stream
        self._request_id: str | None = None  # vLLM's internal one, once it is in the engine
        self._added = asyncio.Event()
        self._produced = [0] * params.n  # ids, by choice
        self._ended = [False] * params.n
        self._pending: RequestOutput | None = None
        self._over = False
        self._done = asyncio.Event()
        self._done.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = False
        self._refusal: GatewayError | None = None  # the engine's own
        self._parting: GatewayError | None = None  # what it ends with where it is taken out of the engine
        self._extension: tuple[Lease, bool] | None = None  # of its lease, that came before it started
        self._last_word = asyncio.Event()  # all choices have ended by themselves

    @property
    def produced(self) -> int:
        """How many ids the engine has made of it, all choices together; exact once it is over."""
        return sum(self._produced)

    async def wait(self) -> None:
        """Until it is over; at once where it never started."""
        await self._done.wait()

    def start(self, terms: Terms) -> None:
        """Put it into the engine."""
        lease, last = self._extension or (terms.lease, False)
        params = self._submission.params
        if lease is not None and last:
            cap(params, lease.ids)
            lease = None
        put_first(params, lease)
        mark(params, timed=terms.timed)
        if terms.timed:
            self.times = self._session.timekeeper.join(terms.call)
            self._leave_times = partial(self._session.timekeeper.leave, terms.call)
        self._done.clear()
        self._session.runs.add(self)
        if lease is not None:
            self._session.watch.join(self, lease)
        self._spawn(self._add(terms))

    def standings(self) -> list[Standing]:
        """How far each choice is. From any thread."""
        choices = zip(list(self._produced), list(self._ended), self._choices(), strict=True)
        return [
            # What vLLM has read of it, and has not reported yet, counts as well.
            Standing(produced if ended or not state else max(produced, state.detokenizer.num_output_tokens()), ended)
            for produced, ended, state in choices
        ]

    def extend(self, lease: Lease, *, last: bool) -> None:
        """Let each choice produce more, see `gateway.engine.EngineGeneration.extend`."""
        if self._over:
            return
        if self._done.is_set():
            self._extension = lease, last
            return
        if last:
            self._session.watch.leave(self)
        else:
            self._session.watch.join(self, lease)
        self._spawn(self._extend(lease.ids, last=last))

    def cancel(self) -> None:
        """Take it out of the engine; ends with `Cancelled` unless it ends by itself first."""
        if not self._over and not self._cancelling and not self._done.is_set():
            self._cancelling = True
            self._spawn(self._abort())

    def give_up(self, error: GatewayError) -> None:
        """The same, but it ends with the error, unless somebody has cancelled it already."""
        if not self._over and not self._cancelling and not self._done.is_set():
            self._parting = error
            self.cancel()

    def fail(self, error: GatewayError) -> None:
        """End it here; the engine is gone."""
        self._end(error)

    def collect(self) -> None:
        """Hand over what has come since the last time. Called in the beat of all streams."""
        if self._over:
            return
        for state in self._states():
            self._gather(state)
        self._deliver_text()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, last: RequestOutput | Exception) -> None:
        if not self._over:
            self._over = True
            self._added.set()
            self._last_word.set()
            self._session.runs.discard(self)
            self._session.pulse.leave(self)
            self._session.watch.leave(self)
            if self._leave_times is not None:
                self._leave_times()
            self._take(last)
            self._done.set()

    async def _add(self, terms: Terms) -> None:
        given = self._submission
        options = {**given.options, "priority": terms.priority}
        prompt = given.prompt.copy()
        if terms.cache_salt is not None:
            prompt["cache_salt"] = terms.cache_salt
        try:
            collector = await self._session.llm.add_request(terms.call, prompt, given.params, **options)
            # vLLM would wake a task of ours for each output. Instead its output handler calls here.
            collector.put = self._on_output
            self._request_id = collector.request_id
            self._added.set()
            if (early := collector.get_nowait()) is not None:
                self._on_output(early)
        except (VLLMClientError, ValueError) as error:
            self._end(refused(error, given.names, structured=given.params.structured_outputs is not None))
        except Exception as error:  # noqa: BLE001 - any end of the engine ends the request
            self._broken(error)

    def _on_output(self, output: RequestOutput | Exception) -> None:
        """Called by vLLM for each of its outputs, all of one engine step in a row."""
        if self._over:
            return
        if isinstance(output, Exception):
            self._broken(output)
            return
        if not self._count(output):
            return
        self._look_for_refusal(output)
        if self._refusal is not None:
            return
        whole = self._keep(output)
        if whole.finished:
            self._end(whole)
        elif self._stream:
            self._session.pulse.join(self)
            self._deliver_text()

    def _states(self) -> list[RequestState]:
        """VLLM's own records of what has come; those that have ended are gone from it."""
        return [state for state in self._choices() if state is not None]

    def _choices(self) -> list[RequestState | None]:
        choices = self._submission.params.n
        if self._request_id is None:
            return [None] * choices
        states = self._session.llm.output_processor.request_states
        return [states.get(part) for part in parts_of(self._request_id, choices)]

    def _gather(self, state: RequestState) -> None:
        ids = state.detokenizer.output_token_ids[state.sent_tokens_offset :]
        if len(ids) < self._session.stream_interval:
            return
        # vLLM would hold them back; with an interval of 1 it takes the ids that it is given as the new ones.
        state.stream_interval = 1
        output = state.make_request_output(ids, None, None, None)
        state.stream_interval = _NEVER
        state.sent_tokens_offset += len(ids)
        if output is not None and self._count(output):
            self._keep(output)

    def _keep(self, output: RequestOutput) -> RequestOutput:
        if self._pending is None:
            self._pending = output
        else:
            self._pending.add(output, aggregate=True)
        return self._pending

    def _deliver_text(self) -> None:
        if self._pending is not None and any(choice.text for choice in self._pending.outputs):
            output, self._pending = self._pending, None
            self._take(output)

    def _count(self, output: RequestOutput) -> bool:
        """Take down what an output says; whether it is an answer's, and not the echo of an abort of ours."""
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        for choice in output.outputs:
            if self._cancelling and choice.finish_reason == "abort":
                return False
            self._produced[choice.index] += len(choice.token_ids)
            self._ended[choice.index] = choice.finish_reason is not None
        if all(self._ended):
            self._last_word.set()
        return True

    def _look_for_refusal(self, output: RequestOutput) -> None:
        """The engine gives up on a form only when it makes a grammar of it, with an end but without a reason."""
        given = self._submission
        if self._cancelling or all(choice.finish_reason != "error" for choice in output.outputs):
            return
        if given.params.structured_outputs is None:
            self._refusal = InternalError("the engine refused a request")
        else:
            log.warning("the engine made no grammar of what a request asked for")
            self._refusal = unfit(given.names.constraint)
        self._cancelling = True
        self._spawn(self._abort())  # its other choices

    async def _abort(self) -> None:
        await self._added.wait()
        if self._over or self._request_id is None:
            return
        try:
            await self._session.abort(self._request_id, self._submission.params.n, self._abort_counted)
            # What is not in the engine any more has ended by itself; its last output is on the way.
            await asyncio.wait_for(self._last_word.wait(), self._session.ABORT_SECONDS)
        except Exception as error:  # noqa: BLE001 - a hung engine: the caller is gone, and the count is a lower bound
            log.warning("the engine did not say what an aborted request had produced: %s", type(error).__name__)
        self._end(self._refusal or self._parting or Cancelled(self.produced))

    async def _extend(self, ids: int, *, last: bool) -> None:
        await self._added.wait()
        if self._over or self._request_id is None:
            return
        try:
            await self._session.lease(self._request_id, self._submission.params.n, ids, last=last)
        except Exception as error:  # noqa: BLE001 - the engine is gone, and this request is told so by its session
            log.warning("the engine was not told of a lease: %s", type(error).__name__)

    def _abort_counted(self, choice: int, produced: int) -> None:
        self._produced[choice] = produced
        self._ended[choice] = True
        if all(self._ended):
            self._last_word.set()

    def _broken(self, error: Exception) -> None:
        # vLLM's client has lost the engine; the host says so as well, and a new session follows.
        # Its text may quote what it was working on, so only its class is told.
        log.error("the engine failed under a request: %s", type(error).__name__)
        self._end(
            UnavailableError(
                "The model failed while it answered. Try again.", detail=type(error).__name__, retry_after=5
            )
        )


def parts_of(request_id: str, choices: int) -> list[str]:
    """VLLM's ids of what it runs for a request, by choice: several choices are requests of their own to it."""
    return [request_id] if choices == 1 else [f"{index}_{request_id}" for index in range(choices)]
