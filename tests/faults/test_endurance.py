"""Row 14: so many requests that what leaks shows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import machine
from tests.faults.crowd import Crowd, post
from tests.faults.scripted import scripted
from tests.real.callers import CHAT, GET_DATA, body
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.crowd import Exchange
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

MORE_MEMORY = 1.05
AT_A_TIME, CROWD = 8, 64
# Open files of the store's pool, two for each connection and one for all: of 8 that stay, each made when so many calls
# happen to meet, which may take long, and of 8 more that come and go.
POOL = 2 * 16 + 1
DATABASE = "gateway.sqlite3"
_ESTABLISHED, _CLOSE_WAIT = "01", "08"  # states in /proc/net/tcp


@dataclass(frozen=True)
class Holding:
    """What processes hold: memory in MiB, open files, those of the database apart, threads."""

    memory: float
    files: int
    database: int
    threads: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> Holding:
        """Of these, together."""
        places = [Path(f"/proc/{pid}") for pid in pids]
        files = [name for place in places for name in _open_files(place)]
        of_database = sum(DATABASE in file for file in files)
        return cls(
            sum(machine.memory_mib(int(place.name))[0] for place in places),
            len(files) - of_database,
            of_database,
            sum(len(list((place / "task").iterdir())) for place in places),
        )


def _open_files(place: Path) -> list[str]:
    """What a process has open now."""
    names = []
    for file in (place / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is being closed
            names.append(str(file.readlink()))
    return names


def _ask(port: int, key: str, number: int, at_a_time: int = AT_A_TIME) -> None:
    """So many requests of each kind in turn, some at a time, on connections that are kept."""
    kinds = [
        post(path, key, {**body(path, "Hello"), "max_tokens": 4, "stream": stream}, keep=True)
        for path in (GET_DATA, CHAT)
        for stream in (False, True)
    ]
    with Crowd(port) as crowd:
        sent = 0

        def next_on(over: Exchange | None) -> None:
            nonlocal sent
            if sent < number:
                crowd.send(kinds[sent % len(kinds)], on=over)
                sent += 1

        for _ in range(at_a_time):
            next_on(None)
        while crowd.under_way:
            for over in crowd.turn(30):
                assert over.whole
                assert over.status == 200, over.raw
                next_on(over)


def _compare(port: int, key: str, pids: list[int], warm_up: int, number: int) -> tuple[Holding, Holding]:
    """What is held after a warm-up, and after all of it."""
    _ask(port, key, warm_up)
    before = _at_rest(port, pids)
    _ask(port, key, number - warm_up)
    return before, _at_rest(port, pids)


def _at_rest(port: int, pids: list[int]) -> Holding:
    """What is held once the callers' connections are closed on the gateway's side too."""
    local = f"0100007F:{port:04X}"

    def all_closed() -> bool:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return not any(line[1] == local and line[3] in {_ESTABLISHED, _CLOSE_WAIT} for line in lines)

    wait_for(all_closed, "the end of all connections")
    return Holding.of(pids)


def _tell(figure: Figure, what: str, held: tuple[Holding, Holding]) -> None:
    before, after = held
    figure(
        14,
        f"{what}: memory {before.memory:.0f} to {after.memory:.0f} MiB "
        f"({100 * (after.memory / before.memory - 1):+.1f}%), files {before.files} to {after.files} and "
        f"{before.database} to {after.database} of the database's, threads {before.threads} to {after.threads}",
    )
    assert after.memory <= MORE_MEMORY * before.memory
    assert after.files <= before.files
    assert after.database <= POOL
    assert after.threads <= before.threads


def test_many_requests_on_a_scripted_engine_leak_nothing(tmp_path: Path, figure: Figure, *, full: bool) -> None:
    number = 100_000 if full else 3000
    with scripted(tmp_path) as server:
        _ask(server.port, server.key, 10)  # it is up
        pids = [server.process.pid, *machine.descendants(server.process.pid)]
        held = _compare(server.port, server.key, pids, number // 3 if not full else number // 10, number)
    _tell(figure, f"{number} requests on a scripted engine", held)


def test_many_requests_on_vllm_leak_nothing(gateway: GatewayServer, figure: Figure, *, full: bool) -> None:
    number = 5000 if full else 600
    _ask(gateway.port, gateway.key, 2 * CROWD, CROWD)  # so that the store's connections are made now
    pids = [gateway.process.pid, *machine.descendants(gateway.process.pid)]
    held = _compare(gateway.port, gateway.key, pids, number // 3 if not full else number // 10, number)
    _tell(figure, f"{number} requests on vLLM", held)
