"""Whose the cores are, in processes of the test's own and on cores that are made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from gateway import cores
from gateway.engines.vllm import supervisor

_TWO = {3, 7}


class Machine:
    """What each thread of a process keeps to; this one is the first."""

    def __init__(self, available: set[int]) -> None:
        self.me = threading.get_native_id()
        self.kept = {self.me: available, self.me + 1: available}

    def keep(self, thread: int, chosen: set[int]) -> None:
        """sched_setaffinity(2)."""
        self.kept[thread or self.me] = set(chosen)

    @property
    def mine(self) -> set[int]:
        """This thread's."""
        return self.kept[self.me]

    @property
    def others(self) -> set[int]:
        """The other thread's."""
        return self.kept[self.me + 1]


@pytest.fixture
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One with two cores unless the test says which, and an empty environment."""
    found = Machine(getattr(request, "param", _TWO))
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: found.kept[thread or found.me])
    monkeypatch.setattr(os, "sched_setaffinity", found.keep)
    monkeypatch.setattr(os, "listdir", lambda _path: [str(thread) for thread in found.kept])
    return found


def test_the_thread_that_computes_gets_one_of_two_cores_and_the_others_of_its_process_the_other(
    machine: Machine,
) -> None:
    supervisor.set_engine_environment([], small_model=True)
    assert machine.mine == machine.others == _TWO  # while it loads
    cores.take_for_engine()
    assert (machine.mine, machine.others) == ({7}, {3})


def test_a_process_of_the_front_end_keeps_off_that_core_with_all_its_threads(machine: Machine) -> None:
    supervisor.set_engine_environment([], small_model=True)
    cores.leave_to_engine()
    assert machine.mine == machine.others == {3}


def test_an_engine_that_is_forked_from_such_a_process_takes_its_core(machine: Machine) -> None:
    supervisor.set_engine_environment([], small_model=True)
    cores.leave_to_engine()
    cores.take_for_engine()
    assert (machine.mine, machine.others) == ({7}, {3})


@pytest.mark.parametrize("machine", [{3}, {3, 7, 9}, set(range(64))], indirect=True)
def test_with_one_core_or_with_many_nobody_keeps_to_any(machine: Machine) -> None:
    available = machine.mine
    supervisor.set_engine_environment([], small_model=True)
    cores.take_for_engine()
    cores.leave_to_engine()
    assert machine.mine == machine.others == available


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "2"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind")], ids=["threads", "binding"]
)
def test_an_engine_with_more_threads_or_with_a_binding_of_the_operators_shares_the_cores(
    machine: Machine, name: str, value: str
) -> None:
    os.environ[name] = value
    supervisor.set_engine_environment([], small_model=True)
    cores.take_for_engine()
    assert machine.mine == machine.others == _TWO


def test_threads_of_a_real_process_keep_off_it_those_that_run_and_those_that_follow() -> None:
    script = """
import json, os, threading
from gateway import cores
end, found = threading.Event(), {}
def tell(name):
    end.wait()
    found[name] = sorted(os.sched_getaffinity(0))
threads = [threading.Thread(target=tell, args=["before"]), threading.Thread(target=tell, args=["after"])]
threads[0].start()
cores.leave_to_engine()
threads[1].start()
end.set()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""
    mine = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "ENGINE_CORE": str(mine[-1])}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    rest = mine[:-1] or mine
    assert json.loads(ended.stdout) == {"before": rest, "after": rest}
