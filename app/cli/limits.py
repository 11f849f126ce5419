"""The limits of a product on the command line: from options to `Limits`, and from `Limits` to text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import click

from app.cli.output import NOTHING
from gateway.periods import Period
from gateway.products import LARGEST, Limits, Quota, Rate

Lifted = Literal["none"]
LIFTED: Final = "none"

T = TypeVar("T")


class Number(click.ParamType[int | Lifted]):
    """A whole number in a range, or `none`."""

    name = "number"

    def __init__(self, smallest: int, largest: int) -> None:
        self._smallest, self._largest = smallest, largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Lifted:
        """Fails with a usage error that names the option."""
        if value == LIFTED:
            return LIFTED
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not self._smallest <= number <= self._largest:
            bounds = f"from {self._smallest} to {self._largest}"
            self.fail(f"give a whole number {bounds}, or 'none' to lift the limit.", param, ctx)
        return number


class Names(click.ParamType[tuple[str, ...] | Lifted]):
    """Names with commas between them, or `none`."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...] | Lifted:
        """Fails with a usage error that names the option."""
        if value == LIFTED:
            return LIFTED
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        return names or self.fail("give names of models, such as A,B, or 'none' to lift the limit.", param, ctx)


COUNT = Number(1, LARGEST)
PRIORITY = Number(-(2**31) + 1, 2**31 - 1)
PERIOD = click.Choice([period.value for period in Period])


@dataclass(frozen=True, slots=True)
class Options:
    """What was given to `flask products set`; None is an option that was not given."""

    calls_per_minute: int | Lifted | None
    call_quota: int | Lifted | None
    call_quota_period: str | None
    tokens_per_minute: int | Lifted | None
    token_quota: int | Lifted | None
    token_quota_period: str | None
    max_concurrency: int | Lifted | None
    max_tokens: int | Lifted | None
    priority: int | Lifted | None
    models: tuple[str, ...] | Lifted | None
    shared_cache: bool | None

    def applied_to(self, limits: Limits) -> Limits:
        """`limits` with what was given; raises click.UsageError where a quota is given by halves."""
        rate = limits.rate
        if self.calls_per_minute is not None:
            rate = None if self.calls_per_minute == LIFTED else Rate(int(self.calls_per_minute))
        return Limits(
            rate=rate,
            call_quota=_quota("call", self.call_quota, self.call_quota_period, limits.call_quota),
            tokens_per_minute=_given(self.tokens_per_minute, limits.tokens_per_minute),
            token_quota=_quota("token", self.token_quota, self.token_quota_period, limits.token_quota),
            max_concurrency=_given(self.max_concurrency, limits.max_concurrency),
            max_tokens=_given(self.max_tokens, limits.max_tokens),
            models=_given(self.models, limits.models),
            priority=_given(self.priority, limits.priority),
            shared_cache=limits.shared_cache if self.shared_cache is None else self.shared_cache,
        )


def _given(value: T | Lifted | None, before: T | None) -> T | None:
    if value is None:
        return before
    return None if value == LIFTED else value


def _quota(what: str, amount: int | Lifted | None, period: str | None, before: Quota | None) -> Quota | None:
    if amount == LIFTED:
        return None
    if amount is None and period is None:
        return before
    number = _given(amount, before.amount if before else None)
    every = _given(Period(period) if period else None, before.period if before else None)
    if number is None:
        raise click.UsageError(f"--{what}-quota-period needs --{what}-quota: the product has no such quota yet.")
    if every is None:
        raise click.UsageError(f"--{what}-quota needs --{what}-quota-period: {', '.join(Period)}.")
    return Quota(number, every)


def describe(limits: Limits) -> list[tuple[str, str]]:
    """Each limit's label with its text, always all of them and in the same order."""
    return [
        ("Calls", _rate(limits.rate)),
        ("Call quota", _quota_text(limits.call_quota)),
        ("Tokens", NOTHING if limits.tokens_per_minute is None else f"{limits.tokens_per_minute} a minute"),
        ("Token quota", _quota_text(limits.token_quota)),
        ("Calls at a time", _text(limits.max_concurrency)),
        ("Max tokens", _text(limits.max_tokens)),
        ("Models", NOTHING if limits.models is None else ", ".join(limits.models)),
        ("Priority", _text(limits.priority)),
        ("Prefix cache", "shared" if limits.shared_cache else "private"),
    ]


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return NOTHING
    return f"{rate.calls} a minute" if rate.seconds == Rate(1).seconds else f"{rate.calls} in {rate.seconds} s"


def _quota_text(quota: Quota | None) -> str:
    if quota is None:
        return NOTHING
    if quota.period is Period.LIFETIME:
        return f"{quota.amount} in all"
    return f"{quota.amount} an hour" if quota.period is Period.HOUR else f"{quota.amount} a {quota.period}"


def _text(value: int | None) -> str:
    return NOTHING if value is None else str(value)
