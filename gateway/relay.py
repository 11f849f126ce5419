"""The events of one answer on their way from the engine's thread to the one that serves the request.

With many streams, waking a thread for each piece costs far more than the piece: the thread has to be scheduled, to get
the interpreter, to get its turn. So a thread that waits may leave word what to do with an event, and one courier does
that for all of them in a row. Whatever is more than that, an end, a failure, a client that does not read, wakes the
thread as ever.

The order of events is never changed: what the courier has not passed on yet goes before what wakes the thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.engine import Event, Passing

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Relay(Generic[Item]):
    """One answer's. What comes are events, or what else an engine tells its reader; an exception is raised there."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event | Item | Exception | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._passing: Passing | None = None  # only while the reader waits and all before is read
        self._due: deque[Event] = deque()  # what the courier has not come to yet

    def put(self, item: Event | Item | Exception | None) -> None:
        """Wake the reader with this, after what came before. None has it see a TimeoutError."""
        with self._lock:
            self._give_back()
            self._queue.put(item)

    def pass_on(self, event: Event) -> None:
        """The same, unless the reader has left word what to do with an event."""
        with self._lock:
            if self._passing is None:
                self._queue.put(event)
                return
            self._due.append(event)
        _courier.call(self.deliver)

    def get(self, timeout: float | None, passing: Passing | None = None) -> Event | Item:
        """Wait for the next that is not passed on meanwhile.

        Args:
            timeout: most seconds to wait; None for as long as it takes.
            passing: see `gateway.engine.Generation.next`.

        Raises:
            TimeoutError: nothing came in time, or None.
            Exception: what came.
        """
        if passing is not None:
            with self._lock:
                if self._queue.empty():
                    self._passing = passing
        try:
            item = self._queue.get(timeout=timeout)
        except queue.Empty:
            item = self._look_again()
        if item is None:
            raise TimeoutError
        if isinstance(item, Exception):
            raise item
        return item

    def deliver(self) -> None:
        """In the courier's thread: pass on what is due."""
        with self._lock:
            while self._due and self._passing is not None:
                if _passed(self._passing, self._due[0]):
                    self._due.popleft()
                else:
                    self._give_back()

    def _look_again(self) -> Event | Item | Exception | None:
        """The time is over; an event may have come since, or be on its way to the courier."""
        with self._lock:
            self._give_back()
            return None if self._queue.empty() else self._queue.get_nowait()

    def _give_back(self) -> None:
        """The reader takes over."""
        self._passing = None
        while self._due:
            self._queue.put(self._due.popleft())


class _Courier:
    """The thread that passes events on, one for a process. It starts when it is first called."""

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._started = False

    def call(self, errand: Callable[[], None]) -> None:
        if not self._started:
            self._start()
        self._errands.put(errand)

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="courier", daemon=True).start()

    def _run(self) -> None:
        while True:
            errand = self._errands.get()
            with turn.during(Urgency.ANSWER):
                errand()
                for _ in range(self._errands.qsize()):  # of the same beat; what comes meanwhile has the next turn
                    self._errands.get()()


def _passed(passing: Passing, event: Event) -> bool:
    try:
        return passing(event)
    except Exception as error:  # noqa: BLE001 - it must not end the streams of all others; the reader meets it again
        log.warning("an event was not passed on: %s", type(error).__name__)
        return False


_courier = _Courier()
