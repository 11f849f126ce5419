"""When streams are handed on: at once while they are few, together when they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.engines.vllm.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """What a pulse uses of an event loop, on a clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """What the clock shows."""
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Take down a call."""
        self.planned.append((when, call))

    def run(self) -> None:
        """Make the one call that is due."""
        ((when, call),) = [planned for planned in self.planned if planned[0] <= self.now]
        self.planned.remove((when, call))
        call()


class Reader:
    """Counts how often it collects."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.collected = 0
        self._then = then

    def collect(self) -> None:
        """One more."""
        self.collected += 1
        self._then()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pulse(loop: Loop) -> Pulse:
    found: Any = loop
    return Pulse(found)


def test_one_reader_collects_after_each_step(loop: Loop, pulse: Pulse) -> None:
    reader = Reader()
    pulse.join(reader)
    pulse.step()
    assert reader.collected == 0  # not before what runs now is over: the other outputs of the step
    loop.run()
    assert reader.collected == 1
    loop.now += 0.005  # faster than any model makes an id for one
    pulse.step()
    loop.run()
    assert reader.collected == 2


def test_many_readers_collect_together_ten_times_a_second(loop: Loop, pulse: Pulse) -> None:
    readers = [Reader() for _ in range(64)]
    for reader in readers:
        pulse.join(reader)
    pulse.step()
    pulse.step()
    assert len(loop.planned) == 1
    loop.run()
    assert {reader.collected for reader in readers} == {1}
    pulse.step()
    ((when, _),) = loop.planned
    assert when == pytest.approx(loop.now + 0.1)


def test_the_wait_grows_with_the_readers(loop: Loop, pulse: Pulse) -> None:
    for reader in [Reader() for _ in range(16)]:
        pulse.join(reader)
    pulse.step()
    loop.run()
    pulse.step()
    ((when, _),) = loop.planned
    assert when == pytest.approx(loop.now + 0.04)


def test_nothing_is_planned_while_nobody_reads_along_or_no_step_is_made(loop: Loop, pulse: Pulse) -> None:
    reader = Reader()
    pulse.step()
    pulse.join(reader)
    assert not loop.planned
    pulse.leave(reader)
    pulse.leave(reader)
    pulse.step()
    assert not loop.planned


def test_a_reader_may_leave_while_it_collects(loop: Loop, pulse: Pulse) -> None:
    leaving = Reader(lambda: pulse.leave(leaving))
    staying = Reader()
    pulse.join(leaving)
    pulse.join(staying)
    for _ in range(2):
        loop.now += 1
        pulse.step()
        loop.run()
    assert (leaving.collected, staying.collected) == (1, 2)
