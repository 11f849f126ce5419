"""The statements on kept answers: rows in an open transaction. `gateway.claims` knows what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, tuple_, update

from gateway.store.tables import calls, kept_answers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from gateway.store.direct import Direct

SWEPT_AT_ONCE = 200
"""The most rows that `sweep` removes, so that nobody waits long for it: a row may hold megabytes."""

_THIS = (
    kept_answers.c.subscription_id == bindparam("sid"),
    kept_answers.c.key_digest == bindparam("digest"),
)
_OF_CALL = (*_THIS, kept_answers.c.call_id == bindparam("call"), kept_answers.c.answer.is_(None))
_FIND = select(kept_answers).where(*_THIS)
_RUNNING = (
    select(kept_answers.c.call_id)
    .join(calls, calls.c.id == kept_answers.c.call_id)
    .where(*_THIS, kept_answers.c.answer.is_(None), calls.c.ended_at.is_(None))
)
_ADD = insert(kept_answers)
_REPLACE = (
    update(kept_answers)
    .where(*_THIS)
    .values({name: bindparam(f"new_{name}") for name in ("fingerprint", "call_id", "made_at", "answer")})
)
_KEEP = update(kept_answers).where(*_OF_CALL).values(answer=bindparam("new_answer"), made_at=bindparam("new_made_at"))
_RELEASE = delete(kept_answers).where(*_OF_CALL)
_ROW = tuple_(kept_answers.c.subscription_id, kept_answers.c.key_digest)
_SWEEP = delete(kept_answers).where(
    # What somebody else is removing now is left to them: two sweeps never wait for each other.
    _ROW.in_(
        select(kept_answers.c.subscription_id, kept_answers.c.key_digest)
        .where(kept_answers.c.made_at <= bindparam("until"))
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
)


class Key(NamedTuple):
    """A row's: the subscription's id, and the digest that stands for its Idempotency-Key."""

    sid: str
    digest: bytes


def find(connection: Connection | Direct, key: Key) -> Row[Any] | None:
    """What is kept for a key."""
    return connection.execute(_FIND, key._asdict()).one_or_none()


def running(connection: Connection | Direct, key: Key) -> str | None:
    """The call that runs for a key now."""
    found: str | None = connection.execute(_RUNNING, key._asdict()).scalar_one_or_none()
    return found


def add(connection: Connection | Direct, key: Key, values: Mapping[str, object]) -> None:
    """A key that is new."""
    connection.execute(_ADD, {"subscription_id": key.sid, "key_digest": key.digest, **values})


def replace(connection: Connection | Direct, key: Key, values: Mapping[str, object]) -> None:
    """The same for one that is there, without an answer that still counts."""
    connection.execute(_REPLACE, {**key._asdict(), **{f"new_{name}": value for name, value in values.items()}})


def keep(connection: Connection | Direct, key: Key, call: str, answer: bytes, now: datetime) -> None:
    """The answer of a call, if the key is still its own."""
    connection.execute(_KEEP, {**key._asdict(), "call": call, "new_answer": answer, "new_made_at": now})


def release(connection: Connection | Direct, key: Key, call: str) -> None:
    """Forget a key that is still a call's own and has no answer."""
    connection.execute(_RELEASE, {**key._asdict(), "call": call})


def sweep(connection: Connection, *, until: datetime) -> int:
    """Removes up to SWEPT_AT_ONCE rows that were made no later than a moment; says how many."""
    return connection.execute(_SWEEP, {"until": until}).rowcount
