"""A gateway's processes, as the system knows them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.server import GatewayServer


def processes(server: GatewayServer) -> dict[int, str]:
    """Every process that the gateway has started, by number, with its title."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    found = {server.process.pid: ""}
    for _ in rows:  # children may be listed before their parents
        found |= {int(row[0]): row[3] for row in rows if int(row[1]) in found and not row[2].startswith("Z")}
    return found


def pid_of(server: GatewayServer, title: str) -> int:
    """The one process with this in its title."""
    return next(pid for pid, args in processes(server).items() if title in args)


def gone(pids: set[int]) -> bool:
    """Whether none of the processes runs any more."""
    return not any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
