"""The statements on debug traces: rows in an open transaction. `gateway.traces` knows what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select

from gateway.store.tables import traces

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

_ADD = insert(traces)
_FIND = select(traces.c.document).where(traces.c.id == bindparam("trace"), traces.c.made_at > bindparam("since"))
_NEWEST = (
    select(traces.c.id)
    .where(traces.c.subscription_id == bindparam("sid"), traces.c.id != bindparam("new"))
    .order_by(traces.c.made_at.desc(), traces.c.id)
    .limit(bindparam("most"))
)
_SWEEP = delete(traces).where(traces.c.made_at <= bindparam("until"))


def add(connection: Connection, row: Mapping[str, object], *, most: int) -> None:
    """A new trace; of its subscription's others the newest stay, `most` with this one."""
    connection.execute(_ADD, row)
    # By a clock that was set back, the new one may look older than all others: it stays in any case.
    of = {"sid": row["subscription_id"], "new": row["id"], "most": most - 1}
    kept = [row["id"], *connection.execute(_NEWEST, of).scalars()]
    connection.execute(
        delete(traces).where(traces.c.subscription_id == row["subscription_id"], traces.c.id.not_in(kept))
    )


def find(connection: Connection, trace: str, *, since: datetime) -> str | None:
    """The document of a trace that was made after a moment."""
    found: str | None = connection.execute(_FIND, {"trace": trace, "since": since}).scalar_one_or_none()
    return found


def sweep(connection: Connection, *, until: datetime) -> None:
    """Removes the traces that were made no later than a moment."""
    connection.execute(_SWEEP, {"until": until})
