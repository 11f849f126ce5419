"""How long what waits for the engine will take: what refuses a call in time, and what an honest Retry-After is made of.

    seconds = tokens that wait / tokens a second

Tokens that wait are what the calls in the engine's queue are expected to produce. How much is left of those that run
the engine does not tell: where it is full, the first of the queue waits for one of them besides. The speed is measured,
and only while calls wait: an engine with less to do than it could is not slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from gateway.engine import Work

_NEWEST = 0.3
"""What the newest measurement of the speed counts for beside all that came before it."""


class _Seen(NamedTuple):
    work: Work
    at: float


class Backlog:
    """What the engine has to do, as it was seen last.

    Args:
        most: seconds that what waits before a call may take.

    Attributes:
        most: the same.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self._seen: _Seen | None = None
        self._speed: float | None = None

    def observe(self, work: Work, at: float) -> None:
        """Take down what the engine says at a moment, in monotonic seconds."""
        before, self._seen = self._seen, _Seen(work, at)
        if before is None or not before.work.queued or not work.queued or at <= before.at:
            return
        produced = work.produced - before.work.produced
        if produced > 0:  # less than before: it is another engine
            speed = produced / (at - before.at)
            self._speed = speed if self._speed is None else self._speed + _NEWEST * (speed - self._speed)

    def forget(self) -> None:
        """Nobody knows what the engine has to do. Its speed is what it was."""
        self._seen = None

    def seconds(self, priority: int | None = None) -> float | None:
        """Until the engine has worked off what waits now; None where its speed is not known yet.

        Args:
            priority: as in `Terms`; only what goes before a new call of this one counts. None for all.
        """
        if self._seen is None:
            return 0.0
        tokens = sum(tokens for of, tokens in self._seen.work.queued.items() if priority is None or of <= priority)
        if not tokens:
            return 0.0
        return None if self._speed is None else tokens / self._speed

    def check(self, priority: int) -> None:
        """Let a call pass whose turn will come in time.

        Raises:
            UnavailableError: it would wait too long.
        """
        wait = self.seconds(priority)
        if wait is not None and wait > self.most:
            raise UnavailableError(
                "The model has more to do than it can do soon. Try again after the time in Retry-After.",
                detail=f"a call would wait {wait:.0f} s for its turn",
                retry_after=wait,
            )
