"""What the limits on tokens leave, and how much of it a call may reserve: arithmetic over what the ledger says.

A call reserves in blocks: what may be produced soon, not all that it might come to. So what others hold and will not
use is little, and comes back soon.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, InvalidRequestError, PermissionDeniedError, RateLimitedError
from gateway.ledger import MINUTE
from gateway.periods import clock_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gateway.engine import Standing
    from gateway.ledger import Account
    from gateway.periods import Window
    from gateway.products import Limits, Quota


BLOCK = 128
"""Ids for each sequence that a call reserves at a time, at least."""

SHARE = 64
"""A block is larger where it takes no more than this part of what is left: plenty is reserved in few steps."""


def _nothing() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one limit on tokens leaves.

    Attributes:
        limit: the most tokens in its window.
        used: of those, by calls that have ended.
        reserved: of those, by others that run.
        refuse: makes the error for a call that does not fit, from what it needs and what is used and spent.
        reset: seconds until the window is empty; None for a lifetime.
        spent: asks for what of `reserved` has been spent for certain, and will not come back.
    """

    limit: int
    used: int
    reserved: int
    refuse: Callable[[int, int], GatewayError]
    reset: float | None
    spent: Callable[[], int] = _nothing

    @property
    def free(self) -> int:
        """What nobody has used or reserved."""
        return self.limit - self.used - self.reserved

    def best(self) -> int:
        """What there would be, if all that run ended now."""
        return self.limit - self.used - self.spent()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a call may use for now.

    Attributes:
        ids: that each of its sequences may produce; 0 where it has to wait for what others hold.
        reserved: prompt and completions together.
    """

    ids: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Extension:
    """What a call that runs may use from now on.

    Attributes:
        ids: that each of its sequences may produce in all; not fewer than before.
        reserved: prompt and completions together.
        last: there will be no more, whatever comes of the other calls.
    """

    ids: int
    reserved: int
    last: bool


def decide(prompt_tokens: int, sequences: Sequence[int], allowances: Sequence[Allowance]) -> Grant:
    """What a call may reserve at its beginning: a block for each sequence, or as much of it as there is.

    Args:
        prompt_tokens: ids that it gives to the engine.
        sequences: for each text that it asks for, the most ids that it may produce.
        allowances: what each limit leaves.

    Raises:
        GatewayError: the limit's, where not one id for each sequence would fit, even if all that run ended now.
    """
    least = prompt_tokens + len(sequences)
    for allowance in allowances:
        if allowance.limit - allowance.used < least:
            raise allowance.refuse(least, allowance.used)
    if not allowances:
        return Grant(max(sequences), prompt_tokens + sum(sequences))
    free = min(one.free for one in allowances) - prompt_tokens
    ids = _share(free, _cut(sequences, _block(free, len(sequences))))
    if not ids:
        for allowance in allowances:
            if (best := allowance.best()) < least:
                raise allowance.refuse(least, allowance.limit - best)
        return Grant(0, 0)
    return Grant(ids, prompt_tokens + sum(_cut(sequences, ids)))


def extend(
    prompt_tokens: int,
    sequences: Sequence[int],
    standings: Sequence[Standing],
    ids: int,
    allowances: Sequence[Allowance],
) -> Extension:
    """What a call may reserve while it runs: another block for each sequence that has not ended, or what there is.

    Args:
        prompt_tokens: as in `decide`.
        sequences: as in `decide`.
        standings: how far each of the sequences is.
        ids: that each of them may produce until now.
        allowances: what each limit leaves; `reserved` is without this call's own.
    """
    done = prompt_tokens + sum(one.produced for one in standings if one.ended)
    running = [most for most, one in zip(sequences, standings, strict=True) if not one.ended]
    growing = [most for most in running if most > ids]
    held = done + sum(_cut(running, ids))
    free = min(one.free for one in allowances) - held
    more = 0
    if growing:
        more = _share(free, _cut([most - ids for most in growing], _block(free, len(growing))))
    # What still runs below its lease may end there, and leave the rest to the others.
    waiting = all(one.ended or one.produced >= min(most, ids) for most, one in zip(sequences, standings, strict=True))
    last = not more and waiting and min(one.best() for one in allowances) - held < len(growing)
    return Extension(ids + more, done + sum(_cut(running, ids + more)), last)


def _block(free: int, sequences: int) -> int:
    return max(BLOCK, free // SHARE // sequences)


def _cut(sequences: Sequence[int], most: int) -> list[int]:
    return [min(one, most) for one in sequences]


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
    spent = functools.cache(lambda: account.spent(window))  # few need to know
    if limits.tokens_per_minute is not None:
        minute = _minute(account, limits.tokens_per_minute, running.reserved)
        found.append(replace(minute, spent=lambda: spent().all))
    if quota is not None and window is not None:
        period = _period(account.now, quota, used, window, running.reserved_in_window)
        found.append(replace(period, spent=lambda: spent().in_window))
    return found


def _minute(account: Account, limit: int, reserved: int) -> Allowance:
    used = account.tokens_in_last_minute()

    def refuse(least: int, gone: int) -> GatewayError:
        if least > limit:
            return InvalidRequestError(
                f"The prompt needs {least} tokens with the shortest answer, and your product allows {limit} a minute. "
                "Shorten `prompt`.",
                param="prompt",
                limit="tokens_per_minute",
            )
        seconds = max(1, math.ceil(account.seconds_until_free(gone + least - limit)))
        return RateLimitedError(
            f"Token limit is exceeded. Try again in {seconds} seconds.", retry_after=seconds, limit="tokens_per_minute"
        )

    return Allowance(limit, used, reserved, refuse, MINUTE.total_seconds())


def _period(now: datetime, quota: Quota, used: int, window: Window, reserved: int) -> Allowance:
    left = window.seconds_left(now)

    def refuse(least: int, gone: int) -> GatewayError:
        rest = max(0, quota.amount - gone)
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
