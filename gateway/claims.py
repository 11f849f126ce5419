"""Who has an Idempotency-Key: the rules on kept answers, in a transaction that has the subscription's lock.

A key belongs to one call: the one that runs for it, or the one whose answer is kept. Whether a call runs is what the
ledger says, whose beats find dead processes; the clock decides only how long an answer is kept.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.errors import InvalidRequestError
from gateway.store import call_rows, kept_rows

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from gateway.store.direct import Direct
    from gateway.store.kept_rows import Key

HEADER = "Idempotency-Key"

KEPT_FOR = timedelta(hours=24)
"""How long an answer is given to who asks again, from its end."""

_SLACK = timedelta(hours=1)
# It stays that much longer in the store: a clock that is ahead for a while throws nothing away.

FAILED = (500, 503)
"""The statuses (HTTP's) of calls that the gateway failed. What such a call cost is charged until it is sent again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A key and the request that came with it, as the store knows them.

    Attributes:
        key: whose it is, and 32 bytes that stand for it.
        fingerprint: 32 bytes that stand for the operation and the body.
    """

    key: Key
    fingerprint: bytes


class Runs(NamedTuple):
    """A call runs for the key: its id."""

    call: str


class Kept(NamedTuple):
    """There is an answer, sealed; `trace_id` is of the request that it was made for."""

    answer: bytes
    trace_id: str


class Free(NamedTuple):
    """Nobody's. `known`: there is a row. `failed`: the call that the gateway failed, and that is charged."""

    known: bool = False
    failed: Row[Any] | None = None


Holder = Runs | Kept | Free


def standing(connection: Connection | Direct, claim: Claim, now: datetime) -> Holder:
    """Who has the key.

    Raises:
        InvalidRequestError: the key came with another request before.
    """
    row = kept_rows.find(connection, claim.key)
    if row is None:
        return Free()
    call = call_rows.find(connection, row.call_id)
    runs = row.answer is None and call is not None and call.ended_at is None
    if not runs and row.made_at <= now - KEPT_FOR:
        return Free(known=True)
    if not hmac.compare_digest(row.fingerprint, claim.fingerprint):
        raise InvalidRequestError(
            f"The header {HEADER} has a key that came with another request in the last 24 hours. "
            "Send a new key with a new request, and the same request to get its answer again.",
            param=HEADER,
        )
    if runs:
        return Runs(row.call_id)
    if row.answer is not None:
        return Kept(row.answer, "" if call is None else call.trace_id)
    return Free(known=True, failed=call if call is not None and call.status in FAILED else None)


def take(connection: Connection | Direct, claim: Claim, call: str, now: datetime, *, known: bool) -> None:
    """Give a key that is free to a call.

    Raises ConstraintError (from the transaction) where the subscription is gone.
    """
    values = {"fingerprint": claim.fingerprint, "call_id": call, "made_at": now, "answer": None}
    if known:
        kept_rows.replace(connection, claim.key, values)
    else:
        kept_rows.add(connection, claim.key, values)


def keep(connection: Connection | Direct, claim: Claim, call: str, answer: bytes, now: datetime) -> None:
    """The call is over and has an answer, sealed. Changes nothing where another call has the key by now."""
    kept_rows.keep(connection, claim.key, call, answer, now)


def release(connection: Connection | Direct, claim: Claim, call: str, *, status: int, tokens: int) -> None:
    """The call is over without an answer: let go of the key, unless it is charged for tokens that it may get back.

    Changes nothing where another call has the key by now.
    """
    if status not in FAILED or tokens == 0:
        kept_rows.release(connection, claim.key, call)


def sweep(connection: Connection, now: datetime) -> bool:
    """Throw old answers away, a bounded number of them; whether there may be more."""
    return kept_rows.sweep(connection, until=now - KEPT_FOR - _SLACK) == kept_rows.SWEPT_AT_ONCE
