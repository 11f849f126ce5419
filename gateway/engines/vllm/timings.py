"""When the engine did what for a request that is traced, from vLLM's own events and the times of its outputs.

vLLM keeps events by request and sends them along with outputs, but records them only with its statistics on. Where they
are off, `install`, which runs in the engine host before it forks EngineCore, has the scheduler record two of them
for the requests that say `TIMED`. `Timekeeper` reads them in the worker. Bound to vLLM 0.32;
`tests/engine/test_vllm_internals.py` says what moved when vLLM moves.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreEventType

from gateway.engine import Timings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vllm.sampling_params import SamplingParams
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.engine import EngineCoreOutput
    from vllm.v1.engine.output_processor import OutputProcessor
    from vllm.v1.request import Request

TIMED = "gateway_timed"
"""In `SamplingParams.extra_args`: the request is traced."""

# An output reaches its worker within this, unless the engine's clock is another machine's.
_LONGEST_WAY = 30.0

# In EngineCore: requests that are to be scheduled for the first time, by vLLM's internal id.
_waiting: dict[str, Request] = {}


def install() -> None:
    """Bend vLLM's scheduler in this process, and so in every EngineCore that is forked from it."""
    before_add, before_schedule = Scheduler.add_request, Scheduler.schedule

    def add_request(scheduler: Scheduler, request: Request) -> None:
        before_add(scheduler, request)
        params = request.sampling_params
        marked = params is not None and params.extra_args and TIMED in params.extra_args
        if marked and not scheduler.log_stats:  # else it does so itself
            request.record_event(EngineCoreEventType.QUEUED)
            _waiting[request.request_id] = request

    def schedule(scheduler: Scheduler, *args: Any, **kwargs: Any) -> SchedulerOutput:
        if not _waiting:
            return before_schedule(scheduler, *args, **kwargs)
        now = time.monotonic()
        output = before_schedule(scheduler, *args, **kwargs)
        for request_id in output.num_scheduled_tokens.keys() & _waiting.keys():
            _waiting.pop(request_id).record_event(EngineCoreEventType.SCHEDULED, now)
        return output

    Scheduler.add_request, Scheduler.schedule = add_request, schedule


def forget(request_id: str) -> None:
    """The request has ended."""
    _waiting.pop(request_id, None)


def mark(params: SamplingParams, *, timed: bool) -> None:
    """Have a request's parameters say whether it is traced; a caller's own words for it are not left there."""
    if timed or (params.extra_args and TIMED in params.extra_args):
        extra = {name: value for name, value in (params.extra_args or {}).items() if name != TIMED}
        params.extra_args = extra | ({TIMED: True} if timed else {}) or None


class Times:
    """When the engine did what for one request, all its choices together."""

    def __init__(self) -> None:
        self.runs = 0  # that take part
        self._queued = self._scheduled = self._first = math.inf
        self._last = -math.inf
        self._lag = math.inf

    def take(self, output: EngineCoreOutput, made: float, now: float) -> None:
        """Read an output.

        Args:
            output: of one of its choices.
            made: the engine's time of it.
            now: this process's.
        """
        self._lag = min(self._lag, now - made)
        for event in output.events or ():
            if event.type == EngineCoreEventType.QUEUED:
                self._queued = min(self._queued, event.timestamp)
            elif event.type == EngineCoreEventType.SCHEDULED:
                self._scheduled = min(self._scheduled, event.timestamp)
        if output.new_token_ids:
            self._first, self._last = min(self._first, made), max(self._last, made)

    def timings(self) -> Timings:
        """What is known so far, by this process's clock."""
        # Processes of one machine share a monotonic clock. Another machine's is as far off as its start.
        shift = 0.0 if 0.0 <= self._lag <= _LONGEST_WAY or math.isinf(self._lag) else self._lag
        times = (self._queued, self._scheduled, self._first, self._last)
        return Timings(*(None if math.isinf(at) else at + shift for at in times))


class Timekeeper:
    """Reads the outputs of one engine before vLLM does."""

    def __init__(self, processor: OutputProcessor) -> None:
        self._processor = processor
        self._times: dict[str, Times] = {}

    def join(self, call: str) -> Times:
        """The times of a run that begins, shared by those of one call: vLLM knows them all by `Terms.call`."""
        times = self._times.setdefault(call, Times())
        times.runs += 1
        return times

    def leave(self, call: str) -> None:
        """A run that had joined has ended."""
        times = self._times[call]
        times.runs -= 1
        if not times.runs:
            del self._times[call]

    def read(self, outputs: Sequence[EngineCoreOutput], made: float) -> None:
        """Before `OutputProcessor.process_outputs`, with its arguments."""
        if not self._times:
            return
        now = time.monotonic()
        for output in outputs:
            state = self._processor.request_states.get(output.request_id)
            times = None if state is None else self._times.get(state.external_req_id)
            if times is not None:
                times.take(output, made, now)


def merged(found: Iterable[Timings | None]) -> Timings | None:
    """The times of a request's prompts as one: from the first that was queued to the last token of all."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    queued, scheduled, first, last = (
        [at for at in times if at is not None]
        for times in zip(*((one.queued, one.scheduled, one.first_token, one.last_token) for one in known), strict=True)
    )
    return Timings(
        min(queued, default=None), min(scheduled, default=None), min(first, default=None), max(last, default=None)
    )
