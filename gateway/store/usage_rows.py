"""The sums over the ledger: statements in an open transaction. `gateway.usage` knows what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from gateway.store.tables import calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, Connection, Row

DIMENSIONS: Mapping[str, Column[Any]] = {
    "day": calls.c.day,
    "subscription": calls.c.subscription_id,
    "product": calls.c.product_id,
    "model": calls.c.model,
    "operation": calls.c.operation,
}
_FILTERS: Mapping[str, Column[Any]] = {**DIMENSIONS, "account": calls.c.account}
_FIGURES = (
    func.count().label("calls"),
    func.sum(case((calls.c.status < 400, 0), else_=1)).label("failed_calls"),  # noqa: PLR2004 - HTTP's errors
    func.sum(calls.c.prompt_tokens).label("prompt_tokens"),
    func.sum(calls.c.cached_tokens).label("cached_tokens"),
    func.sum(calls.c.completion_tokens).label("completion_tokens"),
    func.sum(calls.c.delivered_tokens).label("delivered_tokens"),
)


def sums(
    connection: Connection,
    by: Sequence[str],
    equal: Mapping[str, str | int],
    *,
    since: datetime | None,
    until: datetime | None,
) -> Sequence[Row[Any]]:
    """Calls that have ended, summed by some dimensions, in their order.

    Args:
        connection: in a transaction.
        by: of `DIMENSIONS`.
        equal: only those of this value, by dimension or by `account`.
        since: only those that began then or later.
        until: only those that began before.
    """
    columns: list[Any] = [DIMENSIONS[name].label(name) for name in by]
    statement = select(*columns, *_FIGURES).where(calls.c.ended_at.is_not(None))
    for name, value in equal.items():
        statement = statement.where(_FILTERS[name] == value)
    if since is not None:
        statement = statement.where(calls.c.started_at >= since)
    if until is not None:
        statement = statement.where(calls.c.started_at < until)
    groups = [DIMENSIONS[name] for name in by]
    orders = [group.nulls_first() for group in groups]  # databases differ in it
    rows: Any = connection.execute(statement.group_by(*groups).order_by(*orders)).all()
    return list(rows)
