"""The statements on the ledger: rows in an open transaction. `gateway.ledger` knows what they mean.

Built once, since some of them run several times for each call.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BindParameter, and_, bindparam, case, func, insert, select, update

from gateway.store.tables import calls, subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from gateway.periods import Window
    from gateway.store.direct import Direct

END = (
    "model",
    "ended_at",
    "reserved",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "delivered_tokens",
    "status",
    "finish_reason",
    "first_token_seconds",
    "duration_seconds",
)
"""The columns that a call's end writes."""


class Owner(NamedTuple):
    """Whose calls: a subscription's id and account. Of those who had the id before, none had the account."""

    sid: str
    account: int

    @property
    def params(self) -> dict[str, object]:
        """As statements take it: in an update, a parameter must not be called as a column is."""
        return {"sid": self.sid, "of_account": self.account}


_SID: BindParameter[str] = bindparam("sid")
OWNED = (calls.c.subscription_id == _SID, calls.c.account == bindparam("of_account"))
"""The calls of an `Owner`, whose `params` they are."""

_SINCE: BindParameter[datetime] = bindparam("since")
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_RUNS = calls.c.ended_at.is_(None)
TOKENS = calls.c.prompt_tokens + calls.c.completion_tokens
REFUSED = (403, 429)
"""The statuses (HTTP's) of calls that a limit refused."""

FAILED = 500
"""From this status on the gateway is at fault."""

_IN_WINDOW = (
    calls.c.started_at >= _SINCE,
    calls.c.started_at < bindparam("until"),
)
_LOCK = select(subscriptions.c.id).where(subscriptions.c.id == _SID).with_for_update(key_share=True)
_RUNNING = select(
    func.count(),
    func.coalesce(func.sum(calls.c.reserved), 0),
    func.coalesce(func.sum(case((and_(*_IN_WINDOW), calls.c.reserved), else_=0)), 0),
).where(*OWNED, _RUNS, calls.c.id != bindparam("but"))
# What running calls have spent for certain. A note of what one has produced may be old, and is never too high; before
# its first token the engine may still not take it, and its prompt would cost nothing.
_SPENT_SO_FAR = case((calls.c.completion_tokens == 0, 0), (calls.c.reserved > TOKENS, TOKENS), else_=calls.c.reserved)
_SPENT = select(
    func.coalesce(func.sum(_SPENT_SO_FAR), 0),
    func.coalesce(func.sum(case((and_(*_IN_WINDOW), _SPENT_SO_FAR), else_=0)), 0),
).where(*OWNED, _RUNS, calls.c.id != bindparam("but"))
_ENDED_IN = (calls.c.ended_at > _SINCE, calls.c.ended_at <= bindparam("until"))
_ENDED = select(calls.c.ended_at, TOKENS.label("tokens")).where(*OWNED, *_ENDED_IN).order_by(calls.c.ended_at)
_ADD = insert(calls)
_EMPTY = dict.fromkeys(calls.c.keys())
_CHANGE = update(calls).where(calls.c.id == bindparam("call"))
_RESERVED = ("model", "prompt_tokens", "reserved")
_RESERVE = _CHANGE.where(_RUNS).values({name: bindparam(f"new_{name}") for name in _RESERVED})
_EXTEND = _CHANGE.where(_RUNS).values(reserved=bindparam("new_reserved"), completion_tokens=bindparam("produced"))
_CORRECT = _CHANGE.values({name: bindparam(f"new_{name}") for name in END})
_END = _CORRECT.where(_RUNS)
_NOTE = _CHANGE.where(_RUNS).values(completion_tokens=bindparam("produced"), beat=calls.c.beat + 1)
_BEATS = select(calls.c.id, calls.c.beat).where(_RUNS)
_FIND = select(calls).where(calls.c.id == bindparam("call"))


class Running(NamedTuple):
    """What runs of a subscription's: calls, tokens reserved for them, and of those the tokens in a window."""

    calls: int
    reserved: int
    reserved_in_window: int


def lock(connection: Connection | Direct, sid: str) -> None:
    """Keep other transactions that do so off this subscription's rows until this one ends."""
    if connection.dialect.name != "sqlite":  # which has one writer at a time anyway
        connection.execute(_LOCK, {"sid": sid})


def running(connection: Connection | Direct, owner: Owner, window: Window, *, but: str) -> Running:
    """What runs, apart from the call `but`."""
    return Running(*map(int, connection.execute(_RUNNING, _beside(owner, window, but)).one()))


class Spent(NamedTuple):
    """Of what is reserved for calls that run, what they have spent by now at least; and of that, those in a window."""

    all: int
    in_window: int


def spent(connection: Connection | Direct, owner: Owner, window: Window, *, but: str) -> Spent:
    """What runs has spent, apart from the call `but`."""
    return Spent(*map(int, connection.execute(_SPENT, _beside(owner, window, but)).one()))


def ended(
    connection: Connection | Direct, owner: Owner, since: datetime, until: datetime
) -> Sequence[tuple[datetime, int]]:
    """When the calls between two moments ended, the first first, and their tokens."""
    rows = connection.execute(_ENDED, {**owner.params, "since": since, "until": until})
    return [(row.ended_at, int(row.tokens)) for row in rows]


def add(connection: Connection | Direct, values: Mapping[str, object]) -> None:
    """A new call."""
    connection.execute(_ADD, {**_EMPTY, **values})


def reserve(connection: Connection | Direct, call: str, *, model: str, prompt_tokens: int, reserved: int) -> None:
    """What a call that runs may cost. One that was taken for dead meanwhile is put right at its end."""
    values = {"model": model, "prompt_tokens": prompt_tokens, "reserved": reserved}
    connection.execute(_RESERVE, _renamed(call, values))


def extend(connection: Connection | Direct, call: str, *, reserved: int, produced: int) -> bool:
    """What a call that runs may cost now, and what it has produced; False where it has ended."""
    return connection.execute(_EXTEND, {"call": call, "new_reserved": reserved, "produced": produced}).rowcount == 1


def end(connection: Connection | Direct, call: str, values: Mapping[str, object]) -> bool:
    """End a call that runs, with all of `END`; False where it has ended already."""
    return connection.execute(_END, _renamed(call, values)).rowcount == 1


def correct(connection: Connection | Direct, call: str, values: Mapping[str, object]) -> None:
    """The same for one that has ended."""
    connection.execute(_CORRECT, _renamed(call, values))


def find(connection: Connection | Direct, call: str) -> Row[Any] | None:
    """A call's row."""
    return connection.execute(_FIND, {"call": call}).one_or_none()


def note(connection: Connection, produced: Mapping[str, int]) -> None:
    """How many tokens running calls have produced so far, by their ids; their beat goes on."""
    if produced:
        connection.execute(_NOTE, [{"call": call, "produced": tokens} for call, tokens in produced.items()])


def beats(connection: Connection) -> dict[str, int]:
    """The beat of every call that runs, by its id."""
    return {str(call): int(beat) for call, beat in connection.execute(_BEATS)}


def _beside(owner: Owner, window: Window, but: str) -> dict[str, object]:
    return {**owner.params, "since": window.start, "until": window.end or _NEVER, "but": but}


def _renamed(call: str, values: Mapping[str, object]) -> dict[str, object]:
    return {"call": call, **{f"new_{name}": value for name, value in values.items()}}
