"""Takes a call out of a subscription's window, or says when to come back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import RateLimitedError

if TYPE_CHECKING:
    from gateway.products import Rate
    from gateway.rates.windows import Windows


class RateWindow(NamedTuple):
    """A subscription's window, after a call that was granted or without one.

    Attributes:
        limit: calls that the window has room for.
        remaining: calls that it has room for now.
        reset: whole seconds, at least 1, until its oldest call leaves it and makes room for another one.
    """

    limit: int
    remaining: int
    reset: int


class CallRates:
    """The call rates of all subscriptions. Any thread may use it."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    def take(self, key: str, rate: Rate) -> RateWindow:
        """Counts a call of a subscription whose product has a rate; `key` stands for the subscription.

        A subscription has one window, whatever its rate: where the rate is changed, the calls so far still count. A
        call that is refused does not count.

        Raises:
            RateLimitedError: the window is full. After `retry_after`, a whole number of seconds, it has room again;
                another call of the subscription may be quicker to use it.
            UnavailableError: the windows are in the store, and it cannot be reached.
        """
        taken = self._windows.take(key, rate.calls, rate.seconds)
        seconds = max(1, math.ceil(taken.wait))
        if not taken.granted:
            raise RateLimitedError(
                f"Rate limit is exceeded. Try again in {seconds} seconds.", retry_after=seconds, limit="call_rate"
            )
        return RateWindow(rate.calls, max(0, rate.calls - taken.used), seconds)

    def left(self, key: str, rate: Rate) -> RateWindow:
        """What `take` would meet; counts nothing, and `reset` is 0 where no call is in the window.

        Raises:
            UnavailableError: the windows are in the store, and it cannot be reached.
        """
        seen = self._windows.look(key, rate.calls, rate.seconds)
        return RateWindow(rate.calls, rate.calls - seen.used, max(0, math.ceil(seen.wait)))
