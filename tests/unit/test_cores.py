"""Whose the cores are, in processes of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gateway import cores
from gateway.engines.vllm import supervisor

_TWO = {3, 7}


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """A machine with two cores and an empty environment; what this thread keeps to."""
    found = {"mine": _TWO}
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _thread: found["mine"])
    monkeypatch.setattr(os, "sched_setaffinity", lambda _thread, chosen: found.update(mine=set(chosen)))
    return found


def test_the_engine_gets_one_of_two_cores_and_the_rest_keeps_to_the_other(affinity: dict[str, set[int]]) -> None:
    supervisor.set_engine_environment([], small_model=True)
    cores.leave_to_engine()
    assert affinity["mine"] == {3}
    cores.take_for_engine()
    assert affinity["mine"] == {7}


def test_a_process_that_is_started_later_decides_nothing_anew(affinity: dict[str, set[int]]) -> None:
    cores.reserve()
    cores.leave_to_engine()
    cores.reserve()
    cores.leave_to_engine()
    assert affinity["mine"] == {3}


@pytest.mark.parametrize("available", [{3}, {3, 7, 9}, set(range(64))])
def test_with_one_core_or_with_many_nobody_keeps_to_any(affinity: dict[str, set[int]], available: set[int]) -> None:
    affinity["mine"] = available
    supervisor.set_engine_environment([], small_model=True)
    cores.leave_to_engine()
    cores.take_for_engine()
    assert affinity["mine"] == available


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "2"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind")], ids=["threads", "binding"]
)
def test_an_engine_with_more_threads_or_with_a_binding_of_the_operators_shares_the_cores(
    affinity: dict[str, set[int]], name: str, value: str
) -> None:
    os.environ[name] = value
    supervisor.set_engine_environment([], small_model=True)
    cores.leave_to_engine()
    assert affinity["mine"] == _TWO


def test_threads_and_processes_that_are_started_keep_off_it_too() -> None:
    script = (
        "import json, os, threading; from gateway import cores; found = []\n"
        "cores.leave_to_engine()\n"
        "thread = threading.Thread(target=lambda: found.append(sorted(os.sched_getaffinity(0))))\n"
        "thread.start()\nthread.join()\n"
        "print(json.dumps(found))"
    )
    mine = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "GATEWAY_ENGINE_CORE": str(mine[-1])}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(ended.stdout) == [mine[:-1] or mine]
