"""What every place that counts calls promises, and the strategy of `limits` that keeps it over one of its storages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from limits import RateLimitItemPerSecond
from limits.strategies import MovingWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from limits.storage import Storage

SWEEP_SECONDS = 600.0
"""How often the calls of subscriptions that do not call any more are thrown away."""

SKEW = 1.0
"""Seconds that the clocks of two hosts may differ. A call that lies further ahead was noted before this clock was
set back: its window is begun anew, since nobody knows when it would end."""

_DIGITS = 6
# What is left of a difference of two floats that count seconds since 1970: no call is to wait a second more for it.


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


class Seen(NamedTuple):
    """A window, without a call.

    Attributes:
        used: calls in it, as many as it has room for at most.
        wait: seconds until it has room for one call more than now; 0 where it is empty.
    """

    used: int
    wait: float


EMPTY = Seen(0, 0.0)


class Windows(Protocol):
    """Moving windows of calls by key: exact, whoever else takes from them at the same time."""

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """Counts a call, unless there were `calls` calls in the last `seconds` seconds already."""

    def look(self, key: str, calls: int, seconds: int) -> Seen:
        """Counts nothing."""


class CallRateItem(RateLimitItemPerSecond):
    """So many calls in so many seconds, as `limits` has it, but for its key.

    `limits` makes the limit a part of the key; here a changed rate is not to open a new window.
    """

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """The identifiers alone."""
        return "/".join(map(str, identifiers))


class LimitsWindows:
    """Windows by the moving window of `limits`.

    Args:
        storage: where `limits` counts; one that supports its moving window.
        clock: what that storage tells the time by, in seconds.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float]) -> None:
        self._limiter = MovingWindowRateLimiter(storage)
        self._clock = clock

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """As `Windows.take`. Raises what the storage raises."""
        item = CallRateItem(calls, seconds)
        taken = self._take(item, key)
        # `limits` counts in one step and tells in another: between them, a call may have left and made room.
        if not taken.granted and taken.used < calls:
            taken = self._take(item, key)
        return taken

    def look(self, key: str, calls: int, seconds: int) -> Seen:
        """As `Windows.look`. Raises what the storage raises."""
        item = CallRateItem(calls, seconds)
        reset, remaining = self._limiter.get_window_stats(item, key)
        used = calls - remaining
        return Seen(used, round(reset - self._clock(), _DIGITS)) if used else EMPTY

    def _take(self, item: CallRateItem, key: str) -> Taken:
        granted = self._limiter.hit(item, key)
        reset, remaining = self._limiter.get_window_stats(item, key)
        return Taken(granted, item.amount - remaining, round(reset - self._clock(), _DIGITS))
