"""Whose turn it is: the order, and that nobody is kept for good."""

from __future__ import annotations

import threading

import pytest

from gateway.turn import Turn, Urgency
from tests.server import wait_for

FOREVER = 60.0


def waiting(turn: Turn) -> int:
    return sum(map(len, turn._waiting))  # noqa: SLF001 - nothing else tells of it


def in_threads(turn: Turn, urgencies: list[Urgency], done: list[Urgency]) -> list[threading.Thread]:
    """Threads that wait for a turn, in this order."""
    threads = []
    for urgency in urgencies:

        def run(urgency: Urgency = urgency) -> None:
            with turn.during(urgency):
                done.append(urgency)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        wait_for(lambda: waiting(turn) == len(threads), "a thread that waits")
    return threads


def test_questions_come_before_answers_and_answers_before_the_rest() -> None:
    turn, done = Turn(FOREVER), list[Urgency]()
    with turn.during(Urgency.ANSWER):
        given = [Urgency.AFTERWARDS, Urgency.ANSWER, Urgency.QUESTION, Urgency.ANSWER, Urgency.QUESTION]
        threads = in_threads(turn, given, done)
        assert done == []
    for thread in threads:
        thread.join()
    assert done == sorted(given)


def test_one_who_waits_for_something_lets_the_others_compute_and_comes_back() -> None:
    turn, done = Turn(FOREVER), list[Urgency]()
    with turn.during(Urgency.QUESTION):
        threads = in_threads(turn, [Urgency.AFTERWARDS], done)
        with turn.away(then=Urgency.ANSWER):
            assert not turn.is_mine
            threads[0].join()
        assert turn.is_mine
        assert done == [Urgency.AFTERWARDS]


def test_passing_it_on_lets_whoever_is_more_urgent_go_first() -> None:
    turn, done = Turn(FOREVER), list[Urgency]()
    with turn.during(Urgency.QUESTION):
        threads = in_threads(turn, [Urgency.ANSWER], done)
        turn.pass_on(Urgency.AFTERWARDS)
        assert done == [Urgency.ANSWER]
        assert turn.is_mine
    threads[0].join()


def test_it_is_taken_from_the_one_that_has_had_it_for_long() -> None:
    turn, had = Turn(0.01), list[bool]()

    def run() -> None:
        with turn.during(Urgency.QUESTION):
            had.append(turn.is_mine)

    with turn.during(Urgency.ANSWER):
        for _ in range(2):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert had == [True, True]
        assert waiting(turn) == 0
        assert not turn.is_mine  # it was taken from this one, which has nothing to give
        with turn.away():
            pass
        assert turn.is_mine  # and may take it again
    with turn.during(Urgency.ANSWER):
        assert turn.is_mine


def test_it_is_not_taken_from_one_that_has_just_got_it_however_long_the_others_have_waited() -> None:
    now, asked, done = 0.0, threading.Semaphore(0), list[Urgency]()

    def clock() -> float:
        asked.release()
        return now

    turn = Turn(0.01, clock)
    with turn.during(Urgency.ANSWER):
        (thread,) = in_threads(turn, [Urgency.QUESTION], done)
        for _ in range(5):  # the thread looks again and again
            asked.acquire()
        assert turn.is_mine
        now = 0.02
        thread.join()
        assert done == [Urgency.QUESTION]
        assert not turn.is_mine


def test_whoever_is_called_as_its_patience_ends_may_have_lost_it_already() -> None:
    impatient, go_on = threading.Event(), threading.Event()

    class SlowToTake(Turn):
        def _take_from_holder(self, called: threading.Lock, urgency: Urgency, patience: float) -> float | None:
            if threading.current_thread() is thread:
                impatient.set()
                go_on.wait()
            return super()._take_from_holder(called, urgency, patience)

    turn, had = SlowToTake(patience=0.0), list[bool]()

    def run() -> None:
        with turn.during(Urgency.QUESTION):
            had.append(turn.is_mine)

    thread = threading.Thread(target=run)
    with turn.during(Urgency.ANSWER):
        thread.start()
        impatient.wait()
    assert waiting(turn) == 0  # the thread is called here, and does not know it yet
    with turn.during(Urgency.ANSWER):
        assert turn.is_mine
        go_on.set()
        thread.join()
        assert had == [False]  # it went on without, and nobody has lost anything
        assert turn.is_mine


def test_an_exception_gives_it_back() -> None:
    turn = Turn(FOREVER)
    with pytest.raises(ValueError, match="an error"), turn.during(Urgency.ANSWER):
        raise ValueError("an error")
    with turn.during(Urgency.ANSWER):
        assert turn.is_mine


def test_a_thread_without_it_is_not_held_up() -> None:
    turn = Turn(FOREVER)
    with turn.away():
        assert not turn.is_mine
    turn.pass_on(Urgency.ANSWER)
    assert turn.give() is None
    assert not turn.is_mine
