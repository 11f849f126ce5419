"""Leases inside EngineCore: a request produces no id beyond what its call has reserved, and waits there for more.

`install` runs in the engine host before it forks EngineCore, like `core.install`. It bends four methods of vLLM 0.32's
scheduler (proven by `tests/engine/test_vllm_internals.py`) and adds a utility call, `gateway_lease`.

A request at the end of its lease is not scheduled. It keeps its place and its KV blocks as long as nobody else needs
them; when somebody waits for either, it is preempted as vLLM preempts any request, and resumes, mostly from the prefix
cache, once it has more. An engine that has nothing but such requests sleeps. All of it runs between two steps.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import FinishReason
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.request import RequestStatus

from gateway.engine import LEASE_LOW
from gateway.engines.vllm.lease import FIRST_LEASE

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

# A step that no engine reaches: `schedule` passes over a running request whose next decode is not due yet.
_NEVER = 1 << 62

_vllm_schedule = Scheduler.schedule
_vllm_add_request = Scheduler.add_request
_vllm_handle_blocked = Scheduler._handle_blocked_waiting_request  # noqa: SLF001
_vllm_unfinished = Scheduler.get_num_unfinished_requests

# One EngineCore, so one scheduler, lives in a process.
_leases: dict[str, int] = {}
"""Ids that each request with a lease may produce in all, by vLLM's internal id."""

_held: dict[str, Request] = {}
"""Those of them that the last step passed over."""

_crowded = False
"""Whether somebody else was left waiting by the last step."""


def install() -> None:
    """Bend vLLM's scheduler in this process, and so in every EngineCore that is forked from it."""
    Scheduler.schedule = _schedule
    Scheduler.add_request = _add_request
    Scheduler._handle_blocked_waiting_request = _handle_blocked  # noqa: SLF001
    Scheduler.get_num_unfinished_requests = _unfinished
    EngineCoreProc.gateway_lease = _lease


def is_held(request_id: str) -> bool:
    """Whether the request waits for more to be reserved, and not for the engine."""
    return request_id in _held


def runs_low(request: Request) -> bool:
    """Whether so little is left of its lease that its client has to know, see `gateway.engine.Lease.low`."""
    lease = _leases.get(request.request_id)
    return lease is not None and lease - request.num_output_tokens <= LEASE_LOW


def forget(request_id: str) -> None:
    """The request has ended."""
    _leases.pop(request_id, None)
    _held.pop(request_id, None)


def _add_request(scheduler: Scheduler, request: Request) -> None:
    _vllm_add_request(scheduler, request)
    params = request.sampling_params
    first = params.extra_args.get(FIRST_LEASE) if params is not None and params.extra_args else None
    if first is not None and first < request.max_tokens:
        _leases[request.request_id] = first


def _lease(core: EngineCoreProc, request_ids: list[str], ids: int, last: bool) -> None:  # noqa: FBT001 - a utility call
    """Let requests produce up to `ids` ids in all; with `last` they end there, as with a `max_tokens`."""
    finished = []
    for request_id in request_ids:
        request = core.scheduler.requests.get(request_id)
        if request is None or request_id not in _leases:
            continue
        _leases[request_id] = max(_leases[request_id], ids)
        if last:
            request.max_tokens = min(request.max_tokens, _leases[request_id])
            # What is in flight meets the new end by itself.
            if request.num_output_tokens >= request.max_tokens and request.num_in_flight_tokens == 0:
                finished.append(request_id)
    if finished:
        _finish(core, finished)


def _finish(core: EngineCoreProc, request_ids: list[str]) -> None:
    by_client: dict[int, list[str]] = defaultdict(list)
    for request in core.scheduler.finish_requests(request_ids, RequestStatus.FINISHED_LENGTH_CAPPED):
        by_client[request.client_index].append(request.request_id)
    for client, ended in by_client.items():
        core._send_finish_outputs_to_client(ended, client, FinishReason.LENGTH)  # noqa: SLF001


def _schedule(scheduler: Scheduler, *args: Any, **kwargs: Any) -> SchedulerOutput:
    global _crowded  # noqa: PLW0603 - see `_leases`
    if not _leases:
        return _vllm_schedule(scheduler, *args, **kwargs)
    for request_id in list(_leases):
        _hold_or_release(scheduler.requests[request_id])
    if _crowded and _held:
        _give_way(scheduler)
    output = _vllm_schedule(scheduler, *args, **kwargs)
    preempted = sum(request.status != RequestStatus.RUNNING for request in _held.values())
    _crowded = scheduler.get_request_counts()[1] > preempted
    return output


def _hold_or_release(request: Request) -> None:
    request_id = request.request_id
    left = _left(request)
    if left <= 0:
        _held[request_id] = request
        request.next_decode_eligible_step = _NEVER
    elif request_id in _held:
        # Not before its last id is known here: a model runner remembers only the ids of its step before.
        if request.num_in_flight_tokens == 0:
            del _held[request_id]
            request.next_decode_eligible_step = 0
    elif _leases[request_id] >= request.max_tokens:
        del _leases[request_id]  # it has all that it may have
    elif len(request.spec_token_ids) >= left:
        request.spec_token_ids = request.spec_token_ids[: left - 1]


def _left(request: Request) -> int:
    """Ids that it may still produce, if all that is in flight comes to ids."""
    lease = _leases.get(request.request_id, _NEVER)
    return int(lease - request.num_output_tokens - request.num_output_placeholders)


def _idle(request: Request) -> bool:
    """Whether nothing will come of it until it has more."""
    return _left(request) <= 0 and request.num_in_flight_tokens == 0


def _give_way(scheduler: Scheduler) -> None:
    """Let somebody else have the place and the blocks of one that is held: of that which vLLM would preempt first."""
    candidates = [
        request
        for request in _held.values()
        if request.status == RequestStatus.RUNNING
        and _idle(request)
        and scheduler._request_blocks_can_be_freed(request)  # noqa: SLF001
    ]
    if candidates:
        victim = max(candidates, key=lambda request: (request.priority, request.arrival_time))
        scheduler.running.remove(victim)
        scheduler._preempt_request(victim, time.monotonic())  # noqa: SLF001


def _handle_blocked(scheduler: Scheduler, request: Request) -> bool:
    if request.request_id in _held and _left(request) <= 0:
        return False
    return bool(_vllm_handle_blocked(scheduler, request))


def _unfinished(scheduler: Scheduler) -> int:
    """Without those that are held: they alone are no reason for another step."""
    count: int = _vllm_unfinished(scheduler)
    # The ranks of a data-parallel engine step together: none may leave the others while it has a request.
    if _held and scheduler.parallel_config.data_parallel_size == 1:
        count -= sum(map(_idle, _held.values()))
    return max(0, count)
