"""What the limits on tokens leave, and how much of it a call may reserve: arithmetic over what the ledger says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, InvalidRequestError, PermissionDeniedError, RateLimitedError
from gateway.ledger import MINUTE
from gateway.periods import clock_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gateway.ledger import Account
    from gateway.periods import Window
    from gateway.products import Limits, Quota


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one limit on tokens leaves.

    Attributes:
        limit: the most tokens in its window.
        used: of those, by calls that have ended.
        reserved: of those, by others that run.
        refuse: makes the error for a call that does not fit.
        reset: seconds until the window is empty; None for a lifetime.
    """

    limit: int
    used: int
    reserved: int
    refuse: Callable[[int], GatewayError]
    reset: float | None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a call may use.

    Attributes:
        most: ids that each of its sequences may produce at most.
        reserved: prompt and completions together.
        waits: whether it would get more once other calls have ended.
    """

    most: int
    reserved: int
    waits: bool


def decide(prompt_tokens: int, sequences: Sequence[int], allowances: Sequence[Allowance]) -> Grant:
    """How much a call may reserve.

    Args:
        prompt_tokens: ids that it gives to the engine.
        sequences: for each text that it asks for, the most ids that it may produce.
        allowances: what each limit leaves.

    Returns:
        The largest grant that fits every limit now; `most` is 0 where none does.

    Raises:
        GatewayError: the limit's, where not one id for each sequence would fit, even if nothing else ran.
    """
    least = prompt_tokens + len(sequences)
    wanted = prompt_tokens + sum(sequences)
    for allowance in allowances:
        if allowance.limit - allowance.used < least:
            raise allowance.refuse(least)
    free = min((one.limit - one.used - one.reserved for one in allowances), default=wanted)
    if free >= wanted:
        return Grant(max(sequences), wanted, waits=False)
    most = _share(free - prompt_tokens, sequences)
    holding = any(one.reserved and one.limit - one.used - one.reserved < wanted for one in allowances)
    return Grant(most, prompt_tokens + sum(min(most, one) for one in sequences), waits=holding)


def _share(tokens: int, sequences: Sequence[int]) -> int:
    """The largest number that each sequence may produce so that all together keep within `tokens`."""
    left, rest = max(0, tokens), sorted(sequences)
    while rest and rest[0] * len(rest) <= left:
        left -= rest.pop(0)
    return left // len(rest) if rest else max(sequences)


def token_allowances(account: Account, limits: Limits) -> list[Allowance]:
    """What each limit on tokens leaves: tokens a minute first, then the quota; none without such limits."""
    found: list[Allowance] = []
    quota = limits.token_quota
    if limits.tokens_per_minute is None and quota is None:
        return found
    used, window = account.used("tokens", quota) if quota is not None else (0, None)
    running = account.running(window)
    if limits.tokens_per_minute is not None:
        found.append(_minute(account, limits.tokens_per_minute, running.reserved))
    if quota is not None and window is not None:
        found.append(_period(account.now, quota, used, window, running.reserved_in_window))
    return found


def _minute(account: Account, limit: int, reserved: int) -> Allowance:
    used = account.tokens_in_last_minute()

    def refuse(least: int) -> GatewayError:
        if least > limit:
            return InvalidRequestError(
                f"The prompt needs {least} tokens with the shortest answer, and your product allows {limit} a minute. "
                "Shorten `prompt`.",
                param="prompt",
                limit="tokens_per_minute",
            )
        seconds = max(1, math.ceil(account.seconds_until_free(used + least - limit)))
        return RateLimitedError(
            f"Token limit is exceeded. Try again in {seconds} seconds.", retry_after=seconds, limit="tokens_per_minute"
        )

    return Allowance(limit, used, reserved, refuse, MINUTE.total_seconds())


def _period(now: datetime, quota: Quota, used: int, window: Window, reserved: int) -> Allowance:
    left = window.seconds_left(now)

    def refuse(least: int) -> GatewayError:
        rest = max(0, quota.amount - used)
        return PermissionDeniedError(
            f"Token quota is exceeded. The call needs {least} tokens at least, {rest} are left. {replenished(left)}",
            retry_after=left,
            limit="token_quota",
        )

    return Allowance(quota.amount, used, reserved, refuse, left)


def replenished(seconds: float | None) -> str:
    """When a quota begins anew, as a sentence of Azure API Management's."""
    if seconds is None:
        return "It is for the subscription's lifetime: ask the operator for more."
    return f"Quota will be replenished in {clock_time(seconds)}."
