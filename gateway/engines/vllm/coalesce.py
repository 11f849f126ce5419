"""Outputs coalesced inside EngineCore: what a request produces between two beats leaves it as one output.

VLLM sends each client a message after each step, with an output for each of its requests. Packing, sending and reading
those, thousands of ids a second, takes the engine's own process from its model, and wakes a worker for each step. So
the outputs in the middle of an answer are kept, and handed on together in a beat: as often as `WAKE_UPS_A_SECOND`
allows for all requests together, at least every `LONGEST_SECONDS`, and not more often than a screen shows anything new.

These never wait, and take along what was kept before them: an answer's first id and its end; outputs that have more
than ids (log probabilities, say); those of a request that a worker may have to end (stop strings are looked for there)
or whose lease runs low. With speculative decoding a step makes any number of ids of one request, and with pipeline
parallelism not every step makes one of it: then nothing is kept, since nobody could tell which id is of which step.

`install` runs in the engine host before it forks EngineCore. It bends two methods of vLLM 0.32's scheduler (proven by
`tests/engine/test_vllm_internals.py`). All of it runs between two steps.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs

from gateway.engines.vllm import hold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vllm.v1.metrics.stats import SchedulerStats
    from vllm.v1.request import Request

WAKE_UPS_A_SECOND = 400
"""Of all requests together."""

SHORTEST_SECONDS = 1 / 60
"""Between two beats: a frame of a screen."""

LONGEST_SECONDS = 0.1
"""Between two beats: text that comes ten times a second is as fast as a person reads it."""

MOST_IDS = 64
"""That are kept of one request."""


class StepOutputs(EngineCoreOutputs, array_like=True, omit_defaults=True, gc=False):  # type: ignore[call-arg, misc]
    """What vLLM tells a client, and of which steps.

    Attributes:
        steps: of each step since the last message, this one's too: seconds on the engine's monotonic clock, and how
            many ids it made for this client. Empty where nothing is kept, or no statistics are.
    """

    steps: list[tuple[float, int]] = []  # noqa: RUF012 - msgspec copies it


class Coalescer:
    """What is kept of one scheduler's outputs.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, list[int]] = {}
        self._steps: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self._next = 0.0
        self._due = True

    @property
    def due(self) -> bool:
        """Whether the step under way is a beat."""
        return self._due

    def begin(self, running: int) -> None:
        """A step's outputs are about to be made, with so many requests running."""
        now = self._clock()
        self._due = now >= self._next
        if self._due:
            self._next = now + min(LONGEST_SECONDS, max(SHORTEST_SECONDS, running / WAKE_UPS_A_SECOND))

    def coalesce(self, told: dict[int, Any], requests: Mapping[str, Request], *, timed: bool) -> dict[int, Any]:
        """What is to leave the engine after a step.

        Args:
            told: what vLLM would tell, by client.
            requests: those in the engine.
            timed: whether clients are told of the steps.
        """
        if timed:
            for client, outputs in told.items():
                if ids := sum(len(output.new_token_ids) for output in outputs.outputs):
                    self._steps[client].append((outputs.timestamp, ids))
        for outputs in told.values():
            outputs.outputs = [output for output in outputs.outputs if not self._keep(output, requests)]
        if self._due:
            self._hand_on(told, requests)
        leaving = {client: outputs for client, outputs in told.items() if _says_something(outputs)}
        # Statistics alone are no step's: what was made in it is still to be told.
        return {
            client: _with_steps(outputs, self._steps.pop(client, [])) if timed and outputs.outputs else outputs
            for client, outputs in leaving.items()
        }

    def _keep(self, output: EngineCoreOutput, requests: Mapping[str, Request]) -> bool:
        """Keep an output, or give it what was kept before it."""
        kept = self._kept.get(output.request_id)
        request = requests.get(output.request_id)
        if request is not None and len(kept or ()) < MOST_IDS and _can_wait(output, request):
            if kept is None:
                self._kept[output.request_id] = list(output.new_token_ids)
            else:
                kept += output.new_token_ids
            return True
        if kept is not None:
            output.new_token_ids = kept + output.new_token_ids
            del self._kept[output.request_id]
        return False

    def _hand_on(self, told: dict[int, Any], requests: Mapping[str, Request]) -> None:
        for request_id, ids in self._kept.items():
            request = requests.get(request_id)
            if request is not None:  # else it was aborted, and its count told
                outputs = told.setdefault(request.client_index, EngineCoreOutputs(outputs=[]))
                outputs.outputs.append(EngineCoreOutput(request_id, ids))
        self._kept.clear()


def install() -> None:
    """Bend vLLM's scheduler in this process, and so in every EngineCore that is forked from it."""
    coalescer = Coalescer()  # one EngineCore, so one scheduler, lives in a process
    before_update, before_stats = Scheduler.update_from_output, Scheduler.make_stats

    def update_from_output(scheduler: Scheduler, *args: Any, **kwargs: Any) -> dict[int, Any]:
        if not coalesces(scheduler):
            told: dict[int, Any] = before_update(scheduler, *args, **kwargs)
            return told
        coalescer.begin(len(scheduler.running))
        told = before_update(scheduler, *args, **kwargs)
        return coalescer.coalesce(told, scheduler.requests, timed=scheduler.log_stats)

    def make_stats(scheduler: Scheduler, *args: Any, **kwargs: Any) -> SchedulerStats | None:
        # They say what became of the prefix cache since the last ones: of those that are not made nothing is lost.
        wanted = scheduler.observability_config.enable_logging_iteration_details  # of each step, by the operator
        if coalescer.due or wanted or not scheduler.has_requests() or any(args) or any(kwargs.values()):
            return before_stats(scheduler, *args, **kwargs)
        return None

    Scheduler.update_from_output, Scheduler.make_stats = update_from_output, make_stats


def coalesces(scheduler: Scheduler) -> bool:
    """Whether anything is kept at all."""
    return not scheduler.num_spec_tokens and scheduler.parallel_config.pipeline_parallel_size == 1


def _can_wait(output: EngineCoreOutput, request: Request) -> bool:
    params = request.sampling_params
    return has_ids_only(output) and not (params is not None and params.stop) and not hold.runs_low(request)


def has_ids_only(output: EngineCoreOutput) -> bool:
    """Whether an output says nothing else. Asked for each id of each request, so it is written out."""
    return (
        output.finish_reason is None
        and output.stop_reason is None
        and output.prefill_stats is None  # of the first
        and output.events is None
        and output.new_logprobs is None
        and output.new_prompt_logprobs_tensors is None
        and output.prompt_token_id_logprobs is None
        and output.pooling_output is None
        and output.kv_transfer_params is None
        and output.ec_transfer_params is None
        and output.trace_headers is None
        and output.routed_experts is None
        and not output.num_nans_in_logits
        and output.mm_cache_miss_hashes is None
        and output.new_sampling_mask is None
        and output.spec_decode_metrics is None
    )


def _says_something(outputs: Any) -> bool:
    return bool(outputs.outputs or outputs.scheduler_stats is not None or outputs.finished_requests)


def _with_steps(outputs: Any, steps: list[tuple[float, int]]) -> StepOutputs:
    return StepOutputs(*(getattr(outputs, field) for field in EngineCoreOutputs.__struct_fields__), steps)
