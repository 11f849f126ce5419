"""Turns among the processes that share a SQLite file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UnavailableError
from gateway.store import open_store
from gateway.store.turn_file import TurnFile
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def other(tmp_path: Path) -> Iterator[int]:
    """The file as another process has it open."""
    descriptor = os.open(tmp_path / "db-turn", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, take: bool = True) -> Iterator[int]:
    """A file as another process has it open, and maybe locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        if take:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def takes(descriptor: int) -> bool:
    """Whether another process could lock a file at this moment."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def writing(file: TurnFile, done: threading.Event, *, hurried: bool = False) -> threading.Thread:
    """A thread that waits for its turn."""

    def run() -> None:
        with file.taken(hurried=hurried):
            done.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_one_waits_until_another_process_has_had_its_turn(tmp_path: Path, other: int) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)
    done = threading.Event()
    thread = writing(TurnFile(tmp_path / "db", 60), done)
    assert not done.wait(0.05)
    fcntl.flock(other, fcntl.LOCK_UN)
    assert done.wait(30)
    thread.join()


def test_the_next_turn_is_that_of_a_process_that_has_waited_for_long(tmp_path: Path, other: int) -> None:
    with locked(tmp_path / "db-next") as following:
        done = threading.Event()
        thread = writing(TurnFile(tmp_path / "db", 60), done)
        assert not done.wait(0.05)  # although the turn is free
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(following, fcntl.LOCK_UN)
        assert done.wait(30)
        thread.join()


@pytest.mark.parametrize(("patience", "hurried"), [(60, True), (3, False)])
def test_who_has_waited_for_long_says_so(tmp_path: Path, other: int, patience: float, *, hurried: bool) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)
    done = threading.Event()
    thread = writing(TurnFile(tmp_path / "db", patience), done, hurried=hurried)
    with locked(tmp_path / "db-next", take=False) as following:
        wait_for(lambda: not takes(following), "the claim")
        assert not done.is_set()
        fcntl.flock(other, fcntl.LOCK_UN)
        assert done.wait(30)
        thread.join()
        assert takes(following)  # it does not keep the others from theirs


def test_it_is_given_back_whatever_happens(tmp_path: Path, other: int) -> None:
    file = TurnFile(tmp_path / "db", 60)
    with contextlib.suppress(ValueError), file.taken():
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise ValueError("an error")
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.close()


def test_waiting_in_vain_is_told(tmp_path: Path, other: int) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(UnavailableError), TurnFile(tmp_path / "db", 0.01).taken():
        pytest.fail("it was not its turn")


def test_where_the_file_cannot_be_made_nobody_waits(tmp_path: Path) -> None:
    with TurnFile(tmp_path / "missing" / "db", 60).taken():
        assert not (tmp_path / "missing").exists()


def test_a_store_takes_turns_with_other_processes_when_it_writes_and_not_when_it_reads(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'db'}", patience=0.05)
    descriptor = os.open(tmp_path / "db-turn", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError), store.writing():
            pytest.fail("it was not its turn")
        store.check()
    finally:
        os.close(descriptor)
    with store.writing():
        pass
    store.close()
