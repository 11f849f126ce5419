"""What every place that counts calls promises, and the simplest such place: this process."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.products import LONGEST_RENEWAL

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_SECONDS = 600.0
"""How often the calls of subscriptions that do not call any more are thrown away."""

SKEW = 1.0
"""Seconds that the clocks of two hosts may differ. A call that lies further ahead was noted before this clock was
set back: its window is begun anew, since nobody knows when it would end."""


class Taken(NamedTuple):
    """What became of a call.

    Attributes:
        granted: whether there was room for it; only then it counts.
        used: calls in the window, this one with them.
        wait: seconds until the window has room for one call more than now.
    """

    granted: bool
    used: int
    wait: float


class Windows(Protocol):
    """Moving windows of calls by key: exact, whoever else takes from them at the same time."""

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """Counts a call, unless there were `calls` calls in the last `seconds` seconds already."""


class MemoryWindows:
    """Windows of this process.

    Args:
        clock: seconds; the default is one that nobody can set.
    """

    # Not MemoryStorage of `limits`: docs/decisions/0007-call-rates.md.

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}
        self._swept = clock()

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """As `Windows.take`."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            window = self._calls.setdefault(key, deque())
            while window and window[0] <= now - seconds:
                window.popleft()
            granted = len(window) < calls
            if granted:
                window.append(now)
            # More calls than fit are in it where the limit has been lowered: then all those too many go first.
            leaves = window[max(0, len(window) - calls)]
            return Taken(granted, len(window), seconds - (now - leaves))  # in this order it is never more than a window

    def _sweep(self, now: float) -> None:
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        idle = [key for key, window in self._calls.items() if not window or window[-1] <= now - LONGEST_RENEWAL]
        for key in idle:
            del self._calls[key]
