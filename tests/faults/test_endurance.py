"""Row 14: so many requests that what leaks shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import machine
from tests.faults.crowd import Crowd, post
from tests.faults.scripted import scripted
from tests.real.callers import CHAT, GET_DATA, body

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.crowd import Exchange
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

MORE_MEMORY = 1.05
AT_A_TIME = 8
POOL = (
    16  # open files of the store's eight connections: one more is made when calls happen to meet, which may take long
)


@dataclass(frozen=True)
class Holding:
    """What processes hold: memory in MiB, open files, threads."""

    memory: float
    files: int
    threads: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> Holding:
        """Of these, together."""
        places = [Path(f"/proc/{pid}") for pid in pids]
        return cls(
            sum(machine.memory_mib(int(place.name))[0] for place in places),
            sum(len(list((place / "fd").iterdir())) for place in places),
            sum(len(list((place / "task").iterdir())) for place in places),
        )


def _ask(port: int, key: str, number: int) -> None:
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

        for _ in range(AT_A_TIME):
            next_on(None)
        while crowd.under_way:
            for over in crowd.turn(30):
                assert over.whole
                assert over.status == 200, over.raw
                next_on(over)


def _compare(port: int, key: str, pids: list[int], warm_up: int, number: int) -> tuple[Holding, Holding]:
    """What is held after a warm-up, and after all of it."""
    _ask(port, key, warm_up)
    before = Holding.of(pids)
    _ask(port, key, number - warm_up)
    return before, Holding.of(pids)


def _tell(figure: Figure, what: str, held: tuple[Holding, Holding], *, full: bool) -> None:
    before, after = held
    figure(
        14,
        f"{what}: memory {before.memory:.0f} to {after.memory:.0f} MiB "
        f"({100 * (after.memory / before.memory - 1):+.1f}%), files {before.files} to {after.files}, "
        f"threads {before.threads} to {after.threads}",
    )
    assert after.memory <= MORE_MEMORY * before.memory
    assert after.files <= before.files + (0 if full else POOL)
    assert after.threads <= before.threads


def test_many_requests_on_a_scripted_engine_leak_nothing(tmp_path: Path, figure: Figure, *, full: bool) -> None:
    number = 100_000 if full else 3000
    with scripted(tmp_path) as server:
        _ask(server.port, server.key, 10)  # it is up
        pids = [server.process.pid, *machine.descendants(server.process.pid)]
        held = _compare(server.port, server.key, pids, number // 3 if not full else number // 10, number)
    _tell(figure, f"{number} requests on a scripted engine", held, full=full)


def test_many_requests_on_vllm_leak_nothing(gateway: GatewayServer, figure: Figure, *, full: bool) -> None:
    number = 5000 if full else 600
    pids = [gateway.process.pid, *machine.descendants(gateway.process.pid)]
    held = _compare(gateway.port, gateway.key, pids, number // 3 if not full else number // 10, number)
    _tell(figure, f"{number} requests on vLLM", held, full=full)
