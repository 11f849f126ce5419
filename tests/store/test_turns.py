"""Turns among the threads of a process that write."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UnavailableError
from gateway.store.turns import LONG, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0


class Clock:
    """Monotonic seconds that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


def waiting(turns: Turns, then: Callable[[], None]) -> threading.Thread:
    """A thread that waits for its turn, while another one has it."""

    def run() -> None:
        with turns.take():
            then()

    before = len(turns._waiting)  # noqa: SLF001 - nothing else tells that it waits
    thread = threading.Thread(target=run)
    thread.start()
    while len(turns._waiting) == before:  # noqa: SLF001
        pass
    return thread


def test_those_who_have_waited_for_long_come_first_and_in_order() -> None:
    clock = Clock()
    turns, done = Turns(PATIENCE, clock=clock), []
    with turns.take():
        threads = [waiting(turns, lambda number=number: done.append(number)) for number in range(8)]  # type: ignore[misc]
        clock.now = LONG * PATIENCE + 1
    with turns.take():  # it goes behind all of them, although it asks at once and they are asleep
        assert done == list(range(8))
    for thread in threads:
        thread.join(PATIENCE)


def test_nobody_is_forgotten() -> None:
    turns, done = Turns(PATIENCE), []

    def write(number: int) -> None:
        for _ in range(200):
            with turns.take():
                done.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(done) == sorted(number for number in range(16) for _ in range(200))
    with turns.take():
        pass


def test_who_has_waited_in_vain_is_in_nobodys_way() -> None:
    turns = Turns(0.05)
    with turns.take():
        refused = threading.Event()

        def give_up() -> None:
            with pytest.raises(UnavailableError, match="cannot be reached"), turns.take():
                pytest.fail("it was not its turn")
            refused.set()

        thread = threading.Thread(target=give_up)
        thread.start()
        assert refused.wait(PATIENCE)
        thread.join(PATIENCE)
    with turns.take():
        pass
