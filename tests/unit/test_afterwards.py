"""What nobody waits for is done in order, by one thread, when nobody else computes; and is never more than so much."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from deploy.worker.afterwards import Afterwards
from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    import pytest

PATIENCE = 20.0


def test_all_that_is_left_is_done_in_order_by_a_thread_of_its_own() -> None:
    afterwards, done, over = Afterwards(100, later=0.0), [], threading.Event()

    def work(number: int) -> None:
        done.append((number, threading.current_thread().name, turn.is_mine))
        if number == 29:
            over.set()

    for number in range(30):
        assert afterwards.leave(lambda number=number: work(number))  # type: ignore[misc]
    assert over.wait(PATIENCE)
    assert done == [(number, "afterwards", True) for number in range(30)]


def test_those_whom_somebody_waits_for_come_between() -> None:
    afterwards, done, over = Afterwards(100, later=0.0), [], threading.Event()
    asked, begun, waits = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        done.append("first")
        begun.set()
        assert waits.wait(PATIENCE)

    def ask() -> None:
        assert asked.wait(PATIENCE)
        with turn.during(Urgency.QUESTION):
            done.append("a request")

    asking = threading.Thread(target=ask)
    asking.start()
    with turn.during(Urgency.ANSWER):  # nothing begins before all three are left
        afterwards.leave(first)
        afterwards.leave(lambda: done.append("second"))
        afterwards.leave(over.set)
    assert begun.wait(PATIENCE)
    asked.set()
    while not turn._waiting[Urgency.QUESTION]:  # noqa: SLF001 - nothing else tells that it waits
        pass
    waits.set()
    assert over.wait(PATIENCE)
    asking.join(PATIENCE)
    assert done == ["first", "a request", "second"]


def test_what_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    afterwards, over = Afterwards(100, later=0.0), threading.Event()

    def fail(failure: BaseException) -> None:
        raise failure

    for failure in (ValueError("a secret"), SystemExit(1)):
        assert afterwards.leave(partial(fail, failure))
    assert afterwards.leave(over.set)
    assert over.wait(PATIENCE)
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["ValueError", "SystemExit"]


def test_without_a_thread_for_it_it_is_done_at_once_and_later_again(monkeypatch: pytest.MonkeyPatch) -> None:
    afterwards, over = Afterwards(100, later=0.0), threading.Event()

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", start)
        assert not afterwards.leave(over.set)
    assert afterwards.leave(over.set)
    assert over.wait(PATIENCE)


def test_whoever_wants_to_read_what_was_counted_waits_for_it_and_not_for_ever() -> None:
    afterwards, done = Afterwards(100, later=0.05), []
    afterwards.catch_up()  # nothing was ever left
    for number in range(20):
        assert afterwards.leave(lambda number=number: done.append(number))  # type: ignore[misc]
    afterwards.catch_up()
    assert done == list(range(20))
    stuck = threading.Event()

    def be_stuck() -> None:
        stuck.wait(PATIENCE)

    afterwards.leave(be_stuck)
    afterwards.catch_up()
    assert not stuck.is_set()
    stuck.set()


def test_more_than_so_much_is_not_taken() -> None:
    afterwards, over = Afterwards(3, later=0.0), threading.Event()
    done: list[int] = []
    with turn.during(Urgency.ANSWER):  # its thread has one thing in hand at most, and does nothing
        taken = [afterwards.leave(lambda number=number: done.append(number)) for number in range(10)]  # type: ignore[misc]
    assert 3 <= sum(taken) <= 4
    while not afterwards.leave(over.set):
        pass
    assert over.wait(PATIENCE)
    assert done == [number for number in range(10) if taken[number]]
