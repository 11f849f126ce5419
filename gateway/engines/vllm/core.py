"""What the gateway adds inside vLLM's EngineCore process.

`install` runs in the engine host before it forks EngineCore. It bends seven things of vLLM 0.32 (proven by
`tests/engine/test_vllm_internals.py`):

- EngineCore ends with its parent (`PR_SET_PDEATHSIG`), so that a killed host leaves no engine behind.
- The thread that computes keeps to the engine's core, where it has one of its own (`gateway.cores`).
- EngineCore tells how far it has come with loading.
- It remembers how many ids the requests that ended last had produced.
- Statistics that no request's outputs go with reach a client that lives.
- What makes grammars of callers' schemas cannot quote them on standard error (`cerr.py`).
- Five more utility calls, which a client reaches through `call_utility_async`. They run between two steps of
  the engine, so what they count is exact.

`hold.py` adds leases to the scheduler, `timings.py` takes down when it does what, `reading.py` keeps a request that
cannot be read from harming others, `coalesce.py` and `sending.py` tell clients of outputs.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine.core import EngineCore, EngineCoreProc
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from gateway.cores import take_for_engine
from gateway.engine import RATE_SECONDS
from gateway.engines.vllm import cerr, coalesce, hold, reading, sending, timings
from gateway.engines.vllm.link import Progress
from gateway.processes import die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

_vllm_run_engine_core = EngineCoreProc.run_engine_core
_vllm_run_busy_loop = EngineCoreProc.run_busy_loop
_vllm_free_request = Scheduler._free_request  # noqa: SLF001
_vllm_update_from_output = Scheduler.update_from_output
_vllm_initialize_kv_caches = EngineCore._initialize_kv_caches  # noqa: SLF001
_vllm_grammar_init = StructuredOutputManager.grammar_init

# Client, name and output ids of the requests that ended last: what a client that died had not been told, or had not
# written down. More end in the moment between its death and the question than run at a time, but not many more.
_ended: deque[tuple[int, str, int]] = deque(maxlen=8192)


_gone: set[int] = set()
"""Clients that have died."""


class _Produced:
    """What the requests that ended had produced.

    Attributes:
        total: ids, of all.
        lengths: ids of each of the last ones: most requests end long before the most that they may produce.
    """

    def __init__(self) -> None:
        self.total = 0
        self.lengths: deque[int] = deque(maxlen=256)


_produced = _Produced()


class _Pace:
    """How many ids were produced by when, twice a second while steps are made."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=2 * int(RATE_SECONDS) + 1)
        self._next = 0.0

    def step(self, scheduler: Scheduler) -> None:
        """A step was made."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.5
            self._marks.append((now, _all_produced(scheduler)))

    def speed(self, scheduler: Scheduler) -> float:
        """Ids a second, over the last `RATE_SECONDS` or since the first step in them."""
        now = time.monotonic()
        while self._marks and self._marks[0][0] < now - RATE_SECONDS:
            self._marks.popleft()
        if not self._marks:
            return 0.0
        since, before = self._marks[0]
        return (_all_produced(scheduler) - before) / max(0.5, now - since)


_pace = _Pace()


def install(folder: Path, progress: Progress) -> None:
    """Bend vLLM's EngineCore in this process, and so in every EngineCore that is forked from it."""
    EngineCoreProc.run_engine_core = staticmethod(_run_engine_core)
    keep_to_core()
    EngineCoreProc.gateway_abort = _abort
    EngineCoreProc.gateway_abort_client = _abort_client
    EngineCoreProc.gateway_load = _load
    EngineCoreProc.gateway_work = _work
    EngineCoreProc.gateway_activity = _activity
    Scheduler._free_request = _free_request  # noqa: SLF001
    Scheduler.update_from_output = _update_from_output
    coalesce.install()
    hold.install()
    timings.install()
    reading.install()
    sending.install()
    StructuredOutputManager.grammar_init = _grammar_init

    def initialize_kv_caches(core: EngineCore, *args: Any, **kwargs: Any) -> Any:
        Progress("allocating", progress.since, progress.attempt).write(folder)
        return _vllm_initialize_kv_caches(core, *args, **kwargs)

    EngineCore._initialize_kv_caches = initialize_kv_caches  # noqa: SLF001


def keep_to_core() -> None:
    """The part of it that the bare engine of a benchmark needs as well."""
    EngineCoreProc.run_busy_loop = _run_busy_loop


def _run_busy_loop(core: EngineCoreProc) -> None:
    take_for_engine()
    _vllm_run_busy_loop(core)


def _run_engine_core(*args: Any, **kwargs: Any) -> None:
    die_with_parent()
    _vllm_run_engine_core(*args, **kwargs)


def _grammar_init(manager: StructuredOutputManager, request: Request) -> None:
    if request.structured_output_request is not None:
        # Only here: processes that compute a model in parallel are forked long before, and keep the stream.
        cerr.close()
    _vllm_grammar_init(manager, request)


def _abort(core: EngineCoreProc, request_ids: list[str]) -> dict[str, int]:
    """Abort requests; the count of output ids of each that was still in the engine."""
    aborted = core.scheduler.finish_requests(request_ids, RequestStatus.FINISHED_ABORTED)
    return {request.request_id: request.num_output_tokens for request in aborted}


def _abort_client(core: EngineCoreProc, client_index: int) -> dict[str, int]:
    """Abort whatever a client has left in the engine; the output ids of those requests and of its last ones."""
    _gone.add(client_index)
    left = [request.request_id for request in core.scheduler.requests.values() if request.client_index == client_index]
    _abort(core, left)
    return {request_id: produced for client, request_id, produced in _ended if client == client_index}


def _update_from_output(scheduler: Scheduler, *args: Any, **kwargs: Any) -> dict[int, Any]:
    """What goes to which client. VLLM tells the first one what a step without outputs, as after an abort, came to."""
    outputs: dict[int, Any] = _vllm_update_from_output(scheduler, *args, **kwargs)
    _pace.step(scheduler)
    if 0 in _gone and 0 in outputs and not outputs[0].outputs:
        # Clients come in the order of their slots: the first that has not died is the one to live, if any does.
        outputs[next(client for client in itertools.count() if client not in _gone)] = outputs.pop(0)
    return outputs


def _free_request(scheduler: Scheduler, request: Request, *args: Any, **kwargs: Any) -> Any:
    hold.forget(request.request_id)
    timings.forget(request.request_id)
    _ended.append((request.client_index, request.request_id, request.num_output_tokens))
    _produced.total += request.num_output_tokens
    if request.num_output_tokens:  # it had its turn
        _produced.lengths.append(request.num_output_tokens)
    return _vllm_free_request(scheduler, request, *args, **kwargs)


def _load(core: EngineCoreProc) -> tuple[int, int]:
    """How many requests are running, and how many wait."""
    running, waiting = core.scheduler.get_request_counts()
    return running, waiting


def _work(core: EngineCoreProc) -> tuple[int, dict[int, int]]:
    """Ids produced since the start; ids that the queue is expected to produce, by priority."""
    lengths = _produced.lengths
    usual = sum(lengths) // len(lengths) + 1 if lengths else None
    produced, queued = _produced.total, defaultdict[int, int](int)
    for request in core.scheduler.requests.values():
        produced += request.num_output_tokens
        if request.status != RequestStatus.RUNNING and not hold.is_held(request.request_id):
            most = request.max_tokens if usual is None else min(usual, request.max_tokens)
            queued[request.priority] += max(1, most - request.num_output_tokens)
    return produced, dict(queued)


def _activity(core: EngineCoreProc) -> tuple[int, int, float, float]:
    """What `gateway.engine.Activity` has."""
    scheduler = core.scheduler
    return (*scheduler.get_request_counts(), scheduler.kv_cache_manager.usage, _pace.speed(scheduler))


def _all_produced(scheduler: Scheduler) -> int:
    """Ids since the start, with those of requests that run."""
    running: int = sum(request.num_output_tokens for request in scheduler.requests.values())
    return _produced.total + running
