"""Events on their way to the thread of a request: passed on while it waits, and never out of order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.engine import Delta, Event, Finish
from gateway.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20  # seconds until a missing event counts as one that never comes
END = Finish("stop", 0)


def delta(number: int) -> Delta:
    return Delta(str(number), [number])


def never(_event: Event) -> bool:
    return False


def fails(_event: Event) -> bool:
    raise ValueError("it cannot")


class Reader:
    """Reads all of an answer in a thread, with what it says of each event; notes what it saw, and where.

    Args:
        takes: whether an event is passed on while it waits.
        timeout: seconds that it waits at a time.
    """

    def __init__(self, relay: Relay[Event], takes: Callable[[Event], bool], timeout: float = PATIENCE) -> None:
        self.seen: list[str] = []
        self.passed: list[str] = []
        self.changed = threading.Condition()
        self._relay = relay
        self._takes = takes
        self._timeout = timeout
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                event = self._relay.get(self._timeout, self._passing)
            except TimeoutError:
                continue
            if isinstance(event, Finish):
                return
            self._note(event)

    def _passing(self, event: Event) -> bool:
        if not self._takes(event):
            return False
        assert isinstance(event, Delta)
        self.passed.append(event.text)
        self._note(event)
        return True

    def _note(self, event: Event) -> None:
        assert isinstance(event, Delta)
        with self.changed:
            self.seen.append(event.text)
            self.changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Until it has seen so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.seen) >= number, PATIENCE)

    def join(self) -> None:
        """Until it has read the end."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def wait_until_it_waits(relay: Relay[Event]) -> None:
    """Until the reader has left word what to do with events."""
    done = threading.Event()
    while relay._passing is None:  # noqa: SLF001 - nobody else can tell
        done.wait(0.001)


def test_without_word_the_reader_gets_all_in_order() -> None:
    relay: Relay[Event] = Relay()
    for number in range(3):
        relay.pass_on(delta(number))
    relay.put(END)
    assert [relay.get(PATIENCE) for _ in range(4)] == [delta(0), delta(1), delta(2), END]


def test_events_are_passed_on_while_the_reader_waits_and_the_end_wakes_it() -> None:
    relay: Relay[Event] = Relay()
    reader = Reader(relay, lambda _: True)
    wait_until_it_waits(relay)
    for number in range(5):
        relay.pass_on(delta(number))
        reader.wait_for(number + 1)
    relay.put(END)
    reader.join()
    assert reader.passed == reader.seen == list("01234")


@pytest.mark.parametrize("refuses", [never, fails])
def test_what_is_not_taken_wakes_the_reader(refuses: Callable[[Event], bool]) -> None:
    relay: Relay[Event] = Relay()
    reader = Reader(relay, refuses)
    wait_until_it_waits(relay)
    relay.pass_on(delta(0))
    reader.wait_for(1)
    relay.put(END)
    reader.join()
    assert (reader.seen, reader.passed) == (["0"], [])


def test_what_the_courier_has_not_come_to_goes_before_the_end() -> None:
    relay: Relay[Event] = Relay()
    other: Relay[Event] = Relay()
    busy, release = threading.Event(), threading.Event()

    def takes_long(_event: Event) -> bool:
        busy.set()
        return release.wait(PATIENCE)

    reader, slow = Reader(relay, lambda _: True), Reader(other, takes_long)
    wait_until_it_waits(relay)
    wait_until_it_waits(other)
    other.pass_on(delta(0))
    assert busy.wait(PATIENCE)  # the courier is with the other answer
    relay.pass_on(delta(0))
    relay.pass_on(delta(1))
    relay.put(END)
    reader.join()
    release.set()
    other.put(END)
    slow.join()
    assert (reader.seen, reader.passed) == (["0", "1"], [])
    assert slow.passed == ["0"]


def test_one_that_is_woken_for_nothing_goes_on_where_it_was() -> None:
    relay: Relay[Event] = Relay()
    with pytest.raises(TimeoutError):
        relay.get(0.001, lambda _: True)
    relay.put(None)
    with pytest.raises(TimeoutError):
        relay.get(PATIENCE, lambda _: True)
    relay.pass_on(delta(0))  # nobody waits
    assert relay.get(PATIENCE, lambda _: True) == delta(0)


def test_an_exception_is_raised_where_it_is_read() -> None:
    relay: Relay[Event] = Relay()
    relay.put(KeyError("gone"))
    with pytest.raises(KeyError):
        relay.get(PATIENCE)


@pytest.mark.parametrize("timeout", [PATIENCE, 0.0001])
def test_whoever_takes_them_the_order_is_kept(timeout: float) -> None:
    """Many answers at once; some events are not taken, and some readers wait for no time at all."""
    number = 400

    def takes(event: Event) -> bool:
        return isinstance(event, Delta) and int(event.text) % 7 != 0

    def answer(_: int) -> Reader:
        relay: Relay[Event] = Relay()
        reader = Reader(relay, takes, timeout)
        for each in range(number):
            relay.pass_on(delta(each))
            if each % 50 == 0:
                relay.put(None)
            if each % 3 == 0:  # else it would never have to wait
                reader.wait_for(each + 1)
        relay.put(END)
        reader.join()
        return reader

    with ThreadPoolExecutor(8) as pool:
        readers = list(pool.map(answer, range(16)))
    for reader in readers:
        assert reader.seen == [str(each) for each in range(number)]
    assert any(reader.passed for reader in readers)
