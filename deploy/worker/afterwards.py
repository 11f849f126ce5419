"""What nobody waits for: the log lines and metrics of requests that are answered."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    from collections.abc import Callable

LATER_SECONDS = 0.005
"""A caller that asks again at once has its next request with the engine by then."""

_CATCH_UP_SECONDS = 0.5

log = logging.getLogger(__name__)


class Afterwards:
    """Does what is left to it a moment later, all of it in one thread, when nobody else needs a turn.

    Args:
        most: how many things may be left at a time.
        later: seconds until it begins with what is left first.
    """

    def __init__(self, most: int, later: float = LATER_SECONDS) -> None:
        self._most = most
        self._later = later
        self._left: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._started = False

    def leave(self, work: Callable[[], None]) -> bool:
        """Have it done; False where so much is left already that whoever asks should do it at once.

        Args:
            work: is to see to its failures itself.
        """
        if self._left.qsize() >= self._most:
            return False
        if not self._started and not self._start():
            return False
        self._left.put(work)
        return True

    def catch_up(self) -> None:
        """Until all that is left now is done, but not for long: for whoever wants to read what was counted."""
        done = threading.Event()
        if self._started:
            self._left.put(done.set)
            done.wait(_CATCH_UP_SECONDS)

    def _start(self) -> bool:
        with self._starting:
            if not self._started:
                try:
                    threading.Thread(target=self._run, name="afterwards", daemon=True).start()
                except RuntimeError:  # the system has no thread for it: maybe it has one for the next
                    return False
                self._started = True
        return True

    def _run(self) -> None:
        while True:
            work = self._left.get()
            time.sleep(self._later)
            with turn.during(Urgency.AFTERWARDS):
                _do(work)
                for _ in range(self._left.qsize()):  # what comes meanwhile has a later turn
                    turn.pass_on(Urgency.AFTERWARDS)
                    _do(self._left.get())


def _do(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as failure:  # noqa: BLE001 - it must not end the thread that all others are left to
        with contextlib.suppress(Exception):
            log.error("what was left for later failed: %s", type(failure).__name__)  # noqa: TRY400 - without its text
