"""Windows of this process: a storage for `limits` that no change of the system's clock reaches."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from limits.storage import MovingWindowSupport, Storage

from gateway.products import LONGEST_RENEWAL
from gateway.rates.windows import SWEEP_SECONDS, LimitsWindows

if TYPE_CHECKING:
    from collections.abc import Callable


class MonotonicStorage(Storage, MovingWindowSupport):
    """A storage of `limits` in memory, for its moving window.

    Beside `limits.storage.MemoryStorage` it tells the time by a clock that nobody can set, has one lock that is never
    thrown away, and needs no timer's thread. `limits` knows it as `memory+monotonic://`.

    Args:
        uri: as `limits.storage.storage_from_string` gives it; says nothing more.
        clock: seconds; one that never goes back. Starts of windows are told by it.
    """

    STORAGE_SCHEME = ["memory+monotonic"]  # noqa: RUF012 - as `limits` declares it

    def __init__(self, uri: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(uri)
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, deque[float]] = {}
        self._swept = clock()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What may fail here: nothing."""
        return ()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Notes calls, unless there would be more than `limit` in the last `expiry` seconds."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            window = self._windows.setdefault(key, deque())
            _forget(window, now - expiry)
            if len(window) + amount > limit:
                return False
            window.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the window began that the last calls are in, `limit` of them at most, and how many they are."""
        with self._lock:
            now = self._clock()
            window = self._windows.get(key)
            if window:
                _forget(window, now - expiry)
            if not window:
                return now, 0
            # More calls than fit are in it where the limit has been lowered: then all those too many go first.
            used = min(len(window), limit)
            return window[-used], used

    def clear(self, key: str) -> None:
        """Forgets a key's calls."""
        with self._lock:
            self._windows.pop(key, None)

    def reset(self) -> int:
        """Forgets all calls; says of how many keys."""
        with self._lock:
            keys = len(self._windows)
            self._windows.clear()
            return keys

    def keys(self) -> list[str]:
        """Whose calls it holds."""
        with self._lock:
            return list(self._windows)

    def check(self) -> bool:
        """Whether it can be reached: always."""
        return True

    def incr(self, key: str, expiry: int, amount: int = 1) -> NoReturn:
        """Not supported: fixed windows are not held."""
        raise NotImplementedError(_ONLY_MOVING)

    def get(self, key: str) -> NoReturn:
        """Not supported: fixed windows are not held."""
        raise NotImplementedError(_ONLY_MOVING)

    def get_expiry(self, key: str) -> NoReturn:
        """Not supported: fixed windows are not held."""
        raise NotImplementedError(_ONLY_MOVING)

    def _sweep(self, now: float) -> None:
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        idle = [key for key, window in self._windows.items() if not window or window[-1] <= now - LONGEST_RENEWAL]
        for key in idle:
            del self._windows[key]


class MemoryWindows(LimitsWindows):
    """Windows of this process.

    Args:
        clock: seconds; the default is one that nobody can set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(MonotonicStorage(clock=clock), clock)


_ONLY_MOVING = "This storage holds moving windows only: use limits.strategies.MovingWindowRateLimiter."


def _forget(window: deque[float], until: float) -> None:
    while window and window[0] <= until:
        window.popleft()
