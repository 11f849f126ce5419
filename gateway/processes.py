"""What every process of the gateway does about the others."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

METRICS_FOLDER = "metrics"
"""Where workers count for `gateway.metrics`, in the gateway's private folder."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends (prctl(2))."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above took effect
        os.kill(os.getpid(), signal.SIGKILL)


def below(root: int) -> list[int]:
    """A process and all that it has started, from proc(5); those that end meanwhile are left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:  # which grows under way
        found += children.get(pid, [])
    return found


def _parent(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])  # a name may hold spaces and brackets


# What the processes' command lines hold, and what the processes are called.
_TITLES = {
    "gunicorn: master": "master",
    "gunicorn: worker": "worker",
    "gateway.engines.vllm.host": "engine host",
    "VLLM::": "engine",
}


def title(pid: int) -> str:
    """What a process of the gateway is for: one of a few words, `other` among them."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        line = ""
    return next((name for mark, name in _TITLES.items() if mark in line), "other")
