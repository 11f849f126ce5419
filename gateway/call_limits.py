"""The limits on calls, and what limits leave: arithmetic over what the ledger says. Those on tokens: `allowances`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.allowances import replenished, token_allowances
from gateway.errors import PermissionDeniedError, RateLimitedError

if TYPE_CHECKING:
    from gateway.allowances import Allowance
    from gateway.ledger import Account
    from gateway.products import Limits, Quota
    from gateway.trail import Trail


class Window(NamedTuple):
    """A limit as an answer's headers show it; `reset` in seconds, None where it never does."""

    limit: int
    remaining: int
    reset: float | None


@dataclass(frozen=True, slots=True)
class CallsUsed:
    """What calls have used of a quota in its period.

    Attributes:
        most: calls of the period.
        used: of those, so far.
        reset: seconds until the next period; None for a lifetime.
    """

    most: int
    used: int
    reset: float | None

    @classmethod
    def of(cls, account: Account, quota: Quota) -> CallsUsed:
        """As the ledger has it now. Raises UnavailableError."""
        used, window = account.used("calls", quota)
        return cls(quota.amount, used, window.seconds_left(account.now))

    def left(self, *, taken: int = 0) -> Window:
        """What it leaves, with so many more calls."""
        return Window(self.most, max(0, self.most - self.used - taken), self.reset)

    def check(self) -> None:
        """Raises PermissionDeniedError where there is no room for another call."""
        if self.used >= self.most:
            raise PermissionDeniedError(
                f"Out of call volume quota. {replenished(self.reset)}", retry_after=self.reset, limit="call_quota"
            )


def check_concurrency(account: Account, most: int, trail: Trail) -> None:
    """Raises RateLimitedError where as many calls run as may, UnavailableError where the ledger is away."""
    running = account.running().calls
    if trail.on:
        trail.note(concurrency_limit=most, running=running)
    if running >= most:
        raise RateLimitedError(
            f"Concurrency limit is exceeded: {most} at a time are allowed. Try again in 1 seconds.",
            retry_after=1,
            limit="concurrency",
        )


def token_limits(limits: Limits) -> list[str]:
    """The names of those that there are, in the order of `token_allowances`."""
    return [name for name in ("tokens_per_minute", "token_quota") if getattr(limits, name) is not None]


def tokens_left(allowance: Allowance, *, taken: int = 0) -> Window:
    """What a limit on tokens leaves, with so many more reserved."""
    return Window(allowance.limit, max(0, allowance.free - taken), allowance.reset)


def all_left(account: Account, limits: Limits) -> dict[str, Window]:
    """What each limit that the ledger knows of leaves now, by its name in `Limits`. Raises UnavailableError."""
    found: dict[str, Window] = {}
    if limits.call_quota is not None:
        found["call_quota"] = CallsUsed.of(account, limits.call_quota).left()
    if limits.max_concurrency is not None:
        free = limits.max_concurrency - account.running().calls  # below 0 where the limit was lowered
        found["max_concurrency"] = Window(limits.max_concurrency, max(0, free), None)
    for name, one in zip(token_limits(limits), token_allowances(account, limits), strict=True):
        found[name] = tokens_left(one)
    return found
