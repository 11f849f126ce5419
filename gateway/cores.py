"""Whose the cores are, on a machine with two of them whose engine computes with one thread.

The engine's thread is always busy, and the kernel gives its core to whoever wakes up: a burst of requests wakes dozens
of threads, and the engine waits for them with all of its batch. So the engine gets one core, and everything else keeps
to the other. With more cores there is room, and with more threads the engine needs both.
"""

from __future__ import annotations

import os

_VARIABLE = "GATEWAY_ENGINE_CORE"
_OPERATORS = "VLLM_CPU_OMP_THREADS_BIND"  # vLLM's own; whoever sets it has other plans
_CORES = 2


def reserve() -> None:
    """Decide it for this process and those that it starts, where one thread computes the model."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == _CORES and _OPERATORS not in os.environ:
        os.environ.setdefault(_VARIABLE, str(cores[-1]))


def leave_to_engine() -> None:
    """Keep this thread, and the threads and processes that it starts, off the engine's core."""
    if (core := _core()) is not None and (rest := os.sched_getaffinity(0) - {core}):
        os.sched_setaffinity(0, rest)


def take_for_engine() -> None:
    """Keep this thread, and only this one, to the engine's core."""
    if (core := _core()) is not None:
        os.sched_setaffinity(0, {core})


def _core() -> int | None:
    core = os.environ.get(_VARIABLE)
    return None if core is None else int(core)
