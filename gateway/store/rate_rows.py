"""The statements on the windows of call rates: rows in an open transaction. `gateway.rates` knows what they mean.

The calls of a key are numbered without a gap, in the order of their times. So how many are in a window is a difference
of two numbers, and each statement here reads or writes as few rows as it returns or removes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, insert, select, tuple_

from gateway.store.tables import call_rates

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from gateway.store.direct import Direct

SWEPT_AT_ONCE = 1000
"""The most rows that `sweep` removes, so that nobody waits long for it."""

_KEY = call_rates.c.key == bindparam("wanted")
_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("wanted"), 0)))
_NEWEST = select(call_rates.c.number, call_rates.c.at).where(_KEY).order_by(call_rates.c.number.desc()).limit(1)
_OLDEST = (
    select(call_rates.c.number, call_rates.c.at)
    .where(_KEY, call_rates.c.at > bindparam("after"))
    .order_by(call_rates.c.number)
    .limit(1)
)
_TIME = select(call_rates.c.at).where(_KEY, call_rates.c.number == bindparam("which"))
_ADD = insert(call_rates)
_FORGET = delete(call_rates).where(_KEY)
_FORGET_BEFORE = _FORGET.where(call_rates.c.number < bindparam("before"))
_ROW = tuple_(call_rates.c.key, call_rates.c.number)
_SWEEP = delete(call_rates).where(
    # What somebody else is removing now is left to them: two sweeps never wait for each other.
    _ROW.in_(
        select(call_rates.c.key, call_rates.c.number)
        .where(call_rates.c.at <= bindparam("until"))
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
)


def lock(connection: Connection | Direct, key: str) -> None:
    """Keeps everybody else from taking from a key's window until the transaction ends."""
    # SQLite has one lock for everything, which a transaction that writes has from its beginning.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"wanted": key})


def newest(connection: Connection | Direct, key: str) -> Row[int, int] | None:
    """Number and time of a key's last call."""
    return connection.execute(_NEWEST, {"wanted": key}).one_or_none()


def oldest(connection: Connection | Direct, key: str, *, after: int) -> Row[int, int] | None:
    """Number and time of a key's first call after a time."""
    return connection.execute(_OLDEST, {"wanted": key, "after": after}).one_or_none()


def time_of(connection: Connection | Direct, key: str, number: int) -> int:
    """The time of a call that is stored."""
    found: int = connection.execute(_TIME, {"wanted": key, "which": number}).scalar_one()
    return found


def add(connection: Connection | Direct, key: str, number: int, at: int) -> None:
    """One more call."""
    connection.execute(_ADD, {"key": key, "number": number, "at": at})


def forget(connection: Connection | Direct, key: str, *, before: int | None = None) -> None:
    """Removes a key's calls, all of them or those with a number below `before`."""
    if before is None:
        connection.execute(_FORGET, {"wanted": key})
    else:
        connection.execute(_FORGET_BEFORE, {"wanted": key, "before": before})


def sweep(connection: Connection, *, until: int) -> int:
    """Removes up to SWEPT_AT_ONCE calls of any key that were made no later than a time; says how many."""
    return connection.execute(_SWEEP, {"until": until}).rowcount
