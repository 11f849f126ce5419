"""What was used, summed over the ledger: by day, subscription, product, model, operation. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import InvalidRequestError
from gateway.store import usage_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from gateway.store import Store

DIMENSIONS = tuple(usage_rows.DIMENSIONS)
"""What usage can be summed by."""

DEFAULT_BY = ("day", "subscription", "product", "model")


@dataclass(frozen=True, slots=True)
class Sum:
    """The usage of some calls that have ended.

    Attributes:
        of: what they have in common, by dimension; a model is None where a call came to none.
        calls: how many, those that failed among them.
        failed_calls: those that were told a status of 400 or more, or that hung up.
    """

    of: Mapping[str, str | None]
    calls: int = 0
    failed_calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    delivered_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompts and completions together: what quotas count."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Sum) -> Sum:
        """Both together; they have nothing in common any more."""
        return Sum(
            {},
            self.calls + other.calls,
            self.failed_calls + other.failed_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.delivered_tokens + other.delivered_tokens,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which calls: those that began from `since` until before `until`, with these values by dimension.

    Of an `account` as well: then none of those who had the subscription's id before.
    """

    equal: Mapping[str, str | int] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


class Usage:
    """The sums over a store's ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sums(self, selection: Selection, by: Sequence[str] = DEFAULT_BY) -> Sequence[Sum]:
        """The selected calls, summed by dimensions, in their order.

        Raises:
            InvalidRequestError: usage cannot be summed so, or the selection ends before it begins.
            UnavailableError: the store cannot be reached.
        """
        for name in by:
            if name not in DIMENSIONS:
                raise InvalidRequestError(f"Usage can be summed by {', '.join(DIMENSIONS)}.", param="by")
        since, until = selection.since, selection.until
        if since is not None and until is not None and until <= since:
            raise InvalidRequestError("The usage should end after it begins.", param="until")
        with self._store.reading() as connection:
            rows = usage_rows.sums(connection, by, selection.equal, since=since, until=until)
        return [
            Sum(
                {name: getattr(row, name) for name in by},
                int(row.calls),
                int(row.failed_calls),
                int(row.prompt_tokens),
                int(row.cached_tokens),
                int(row.completion_tokens),
                int(row.delivered_tokens),
            )
            for row in rows
            if row.calls
        ]


def total(sums: Sequence[Sum]) -> Sum:
    """All together."""
    found = Sum({})
    for one in sums:
        found = found.plus(one)
    return found
