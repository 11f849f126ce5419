"""When readers are woken: at once while they are few, together when they are many."""

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
    """Counts its deliveries."""

    def __init__(self) -> None:
        self.delivered = 0

    def deliver(self) -> None:
        """One more."""
        self.delivered += 1


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pulse(loop: Loop) -> Pulse:
    found: Any = loop
    return Pulse(found)


def test_one_reader_is_woken_at_once_and_again_soon(loop: Loop, pulse: Pulse) -> None:
    reader = Reader()
    pulse.request(reader)
    assert reader.delivered == 0  # not before what runs now is over: the other outputs of the step
    loop.run()
    assert reader.delivered == 1
    loop.now += 0.005  # faster than any model makes an id for one
    pulse.request(reader)
    loop.run()
    assert reader.delivered == 2


def test_many_readers_are_woken_together_ten_times_a_second(loop: Loop, pulse: Pulse) -> None:
    readers = [Reader() for _ in range(64)]
    for reader in readers:
        pulse.request(reader)
    assert len(loop.planned) == 1
    loop.run()
    assert {reader.delivered for reader in readers} == {1}
    pulse.request(readers[0])
    ((when, _),) = loop.planned
    assert when == pytest.approx(loop.now + 0.1)


def test_the_wait_grows_with_the_readers(loop: Loop, pulse: Pulse) -> None:
    for reader in [Reader() for _ in range(16)]:
        pulse.request(reader)
    loop.run()
    pulse.request(Reader())
    ((when, _),) = loop.planned
    assert when == pytest.approx(loop.now + 0.04)
