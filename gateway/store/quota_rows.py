"""The sums over the ledger that are kept, so that no call adds up what others came to: rows in an open transaction.

Two kinds: what the window of a quota has used, and the tokens of the calls that ended in the last minute. Each is
summed from the ledger when it is asked for first, and moved on by every call's end from then on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, BindParameter, and_, bindparam, case, func, insert, or_, select, update

from gateway.store.call_rows import FAILED, OWNED, REFUSED, TOKENS
from gateway.store.tables import calls, quota_use

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

    from gateway.periods import Window
    from gateway.store.call_rows import Owner
    from gateway.store.direct import Direct

MINUTE = "minute"
"""What is no quota's period: the row is of the tokens of calls that ended after its `ends_at`, which moves on.

Its `starts_at` is always the same, so that the primary key lets each subscription have one such row. (A partial index
would have SQLite compile every statement anew that asks for a period: its plan would depend on the value.)
"""

_MOVES = timedelta(seconds=1)  # how far that moment may fall behind before it is moved on

_START: BindParameter[datetime] = bindparam("start")
_FROM: BindParameter[datetime] = bindparam("from_")
_TO: BindParameter[datetime] = bindparam("to")
_STARTED: BindParameter[datetime] = bindparam("started")
_LONG_AGO, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

# Neither what a limit refused is a call, nor what the gateway failed before it had produced anything.
_COUNTS = case(
    (or_(*(calls.c.status == one for one in REFUSED)), 0),
    (and_(calls.c.status >= FAILED, calls.c.completion_tokens == 0), 0),
    else_=1,
)

_KEPT = and_(quota_use.c.subscription_id == bindparam("sid"), quota_use.c.account == bindparam("of_account"))
_OF_WINDOW = (*OWNED, calls.c.started_at >= _FROM, calls.c.started_at < _TO)
_SUMS = {
    # A running call counts as a call from its beginning, and with its tokens at its end.
    "calls": select(func.coalesce(func.sum(_COUNTS), 0)).where(*_OF_WINDOW),
    "tokens": select(func.coalesce(func.sum(TOKENS), 0)).where(*_OF_WINDOW, calls.c.ended_at.is_not(None)),
}
_USED = select(quota_use.c.used).where(
    _KEPT,
    quota_use.c.kind == bindparam("kind"),
    quota_use.c.period == bindparam("period_name"),
    quota_use.c.starts_at == _START,
)
_KEEP = insert(quota_use)


_OF_MINUTE = and_(_KEPT, quota_use.c.kind == "tokens", quota_use.c.period == MINUTE)
_NEAR = and_(quota_use.c.ends_at >= bindparam("near_from"), quota_use.c.ends_at < bindparam("near_to"))


def _ended_tokens(after: Any, until: Any) -> Select[int]:
    return select(func.coalesce(func.sum(TOKENS), 0)).where(*OWNED, calls.c.ended_at > after, calls.c.ended_at <= until)


def _if_near(tokens: Select[int]) -> ColumnElement[int]:
    # There is no telling how many calls there are up to a moment that is long ago.
    return case((_NEAR, tokens.correlate(quota_use).scalar_subquery()))


_MINUTE = select(
    quota_use.c.ends_at,
    quota_use.c.used,
    _if_near(_ended_tokens(quota_use.c.ends_at, _FROM)).label("passed"),
    # Where the clock was set back:
    _if_near(_ended_tokens(_FROM, quota_use.c.ends_at)).label("before"),
    select(func.max(calls.c.ended_at)).where(*OWNED).scalar_subquery().label("newest"),
).where(_OF_MINUTE)
_SUM_MINUTE = _ended_tokens(_FROM, _TO)
_MOVE_MINUTE = update(quota_use).where(_OF_MINUTE).values(ends_at=bindparam("start"), used=bindparam("new_used"))

_WINDOW_HAS = and_(
    quota_use.c.starts_at <= _STARTED, or_(quota_use.c.ends_at.is_(None), quota_use.c.ends_at > _STARTED)
)
_SUM = quota_use.c.used + bindparam("amount", type_=BigInteger)
# A minute's row that is wrong, since somebody else changed what it stands for, is no reason to fail a call.
_ADD_AMOUNT = update(quota_use).values(used=case((and_(quota_use.c.period == MINUTE, _SUM < 0), 0), else_=_SUM))
_USE_CALLS = _ADD_AMOUNT.where(_KEPT, quota_use.c.kind == "calls", _WINDOW_HAS)
_USE_TOKENS = _ADD_AMOUNT.where(
    _KEPT,
    quota_use.c.kind == "tokens",
    or_(
        and_(quota_use.c.period != MINUTE, _WINDOW_HAS),
        and_(quota_use.c.period == MINUTE, quota_use.c.ends_at < bindparam("ended")),
    ),
)


def used(connection: Connection | Direct, owner: Owner, kind: str, period: str, window: Window) -> int:
    """What a window has used of `calls` or `tokens`."""
    start, end = window
    wanted = {"kind": kind, "period_name": period, "start": start}
    found = connection.execute(_USED, {**owner.params, **wanted}).scalar_one_or_none()
    if found is not None:
        return int(found)
    ends = {"from_": start, "to": end or _NEVER}
    total = int(connection.execute(_SUMS[kind], {**owner.params, **ends}).scalar_one())
    _keep(connection, owner, {"kind": kind, "period": period, "starts_at": start, "ends_at": end, "used": total})
    return total


def tokens_ended(connection: Connection | Direct, owner: Owner, since: datetime, until: datetime) -> int:
    """Tokens of the calls that ended between two moments, which go on with time from call to call.

    What is kept is the sum of all that ended after some moment. What has passed since that moment is taken off, and
    once a second the moment is moved on. So it takes as long for ten thousand calls a minute as for ten. Once a minute
    the sum is made anew, so that rows which somebody else has changed are not counted wrong for longer.
    """
    minute = since.replace(second=0, microsecond=0)
    near = {"near_from": minute, "near_to": minute + timedelta(minutes=1)}
    row = connection.execute(_MINUTE, {**owner.params, "from_": since, **near}).one_or_none()
    if row is None:
        empty = {"kind": "tokens", "period": MINUTE, "starts_at": _LONG_AGO, "ends_at": _LONG_AGO, "used": 0}
        _keep(connection, owner, empty)  # whoever asks next makes the sum
    if row is None or (row.newest is not None and row.newest > until):  # then the clock was set back by a lot
        return _sum_minute(connection, owner, since, until)
    if row.passed is None or row.used < row.passed:
        total = _sum_minute(connection, owner, since, until)
        _move(connection, owner, since, total)
        return total
    left = int(row.used) - int(row.passed)
    if row.ends_at <= since - _MOVES:
        _move(connection, owner, since, left)
    return left + int(row.before)


def use_calls(connection: Connection | Direct, owner: Owner, started: datetime, amount: int) -> None:
    """Add to what is kept for the windows that a call began in; `amount` may be negative."""
    if amount:
        connection.execute(_USE_CALLS, {**owner.params, "started": started, "amount": amount})


def use_tokens(connection: Connection | Direct, owner: Owner, started: datetime, ended: datetime, amount: int) -> None:
    """Add to every sum of tokens that a call which has ended belongs to; `amount` may be negative."""
    if amount:
        of_call = {"started": started, "ended": ended, "amount": amount}
        connection.execute(_USE_TOKENS, {**owner.params, **of_call})


def _keep(connection: Connection | Direct, owner: Owner, values: dict[str, object]) -> None:
    connection.execute(_KEEP, {"subscription_id": owner.sid, "account": owner.account, **values})


def _sum_minute(connection: Connection | Direct, owner: Owner, since: datetime, until: datetime) -> int:
    return int(connection.execute(_SUM_MINUTE, {**owner.params, "from_": since, "to": until}).scalar_one())


def _move(connection: Connection | Direct, owner: Owner, start: datetime, total: int) -> None:
    connection.execute(_MOVE_MINUTE, {**owner.params, "start": start, "new_used": total})
