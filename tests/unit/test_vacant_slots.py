"""Who listens on a slot that no worker has, and that it makes room for one that comes."""

from __future__ import annotations

import contextlib
import socket
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import pytest

from gateway.engines.vllm.vacant import VacantSlots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path) -> list[list[Path]]:
    return [[tmp_path / f"i{slot}", tmp_path / f"o{slot}"] for slot in range(2)]


@pytest.fixture
def vacant(paths: list[list[Path]]) -> Iterator[VacantSlots]:
    with contextlib.closing(VacantSlots(paths)) as found:
        for slot in range(2):
            found.take(slot)
        yield found


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        yield sock


def accept_all(vacant: VacantSlots) -> None:
    for listener in wait(list(vacant.listeners), 0):
        vacant.accept(listener)


def is_open(sock: socket.socket) -> bool:
    return not wait([sock], 0)


def test_whoever_connects_is_kept_in_silence(vacant: VacantSlots, paths: list[list[Path]]) -> None:
    with connected(paths[0][0]) as one, connected(paths[1][1]) as other:
        accept_all(vacant)
        assert is_open(one)
        assert is_open(other)


def test_a_worker_finds_its_two_addresses_free_and_the_engine_without_a_connection(
    vacant: VacantSlots, paths: list[list[Path]]
) -> None:
    with connected(paths[0][0]) as mine, connected(paths[0][1]) as early, connected(paths[1][0]) as another:
        accept_all(vacant)
        vacant.leave(0)
        assert mine.recv(1) == b""
        assert early.recv(1) == b""
        assert is_open(another)
    for path in paths[0]:
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as worker:
            worker.bind(str(path))


def test_a_connection_that_nobody_has_taken_ends_as_well(vacant: VacantSlots, paths: list[list[Path]]) -> None:
    with connected(paths[0][0]) as sock:
        vacant.leave(0)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_the_next_connection_takes_the_place_of_the_one_before(vacant: VacantSlots, paths: list[list[Path]]) -> None:
    with connected(paths[0][0]) as first:
        accept_all(vacant)
        with connected(paths[0][0]) as second:
            accept_all(vacant)
            assert first.recv(1) == b""
            assert is_open(second)


def test_the_slot_of_a_dead_worker_is_taken_over(vacant: VacantSlots, paths: list[list[Path]]) -> None:
    vacant.leave(0)
    with socket.socket(socket.AF_UNIX) as worker:
        worker.bind(str(paths[0][0]))  # and its file stays when it is killed
    vacant.take(0)
    with connected(paths[0][0]) as sock:
        accept_all(vacant)
        assert is_open(sock)


def test_a_listener_whose_slot_was_left_meanwhile_is_passed_over(vacant: VacantSlots, paths: list[list[Path]]) -> None:
    with connected(paths[0][0]):
        (listener,) = wait(list(vacant.listeners), 5)
        vacant.leave(0)
        vacant.accept(listener)
    assert len(vacant.listeners) == 2
