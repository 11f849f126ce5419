"""Whose the cores are, on a machine with two of them whose engine computes with one thread.

The engine's thread is always busy, and the kernel gives its core to whoever wakes up: a burst of requests wakes dozens
of threads, and the engine waits for them with all of its batch. So the engine gets one core, and everything else keeps
to the other. With more cores there is room, and with more threads the engine needs both.
"""

from __future__ import annotations

import contextlib
import os
import threading

_VARIABLE = "ENGINE_CORE"  # not GATEWAY_…: the engine's processes are given none of those
_OPERATORS = "VLLM_CPU_OMP_THREADS_BIND"  # vLLM's own; whoever sets it has other plans
_CORES = 2


def reserve() -> None:
    """Decide it for this process and those that it starts, where one thread computes the model."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == _CORES and _OPERATORS not in os.environ:
        os.environ.setdefault(_VARIABLE, str(cores[-1]))


def leave_to_engine() -> None:
    """Keep this process, with what it starts from now on, off the engine's core. Loading is over: it needs both."""
    if (core := _core()) is not None and (rest := os.sched_getaffinity(0) - {core}):
        for thread in _threads():
            _keep(thread, rest)


def take_for_engine() -> None:
    """Keep this thread, which computes, to the engine's core, and the others of its process off it."""
    if (core := _core()) is not None:
        leave_to_engine()
        _keep(threading.get_native_id(), {core})


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208 - numbers, no paths


def _keep(thread: int, cores: set[int]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.sched_setaffinity(thread, cores)


def _core() -> int | None:
    core = os.environ.get(_VARIABLE)
    return None if core is None else int(core)
