"""A subscription: what may be told of one, and which states and dates may follow which. `subscriptions` keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gateway.errors import ConflictError, InvalidRequestError
from gateway.products import checked_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

    from gateway.products import Product

KeySlot = Literal["primary", "secondary"]


class State(StrEnum):
    """A subscription's state, as in Azure API Management; only an active one may call."""

    SUBMITTED = "submitted"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.ACTIVE, State.REJECTED, State.CANCELLED}),
    State.ACTIVE: frozenset({State.SUSPENDED, State.CANCELLED, State.EXPIRED}),
    State.SUSPENDED: frozenset({State.ACTIVE, State.CANCELLED, State.EXPIRED}),
    State.EXPIRED: frozenset({State.ACTIVE, State.CANCELLED}),
    State.REJECTED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""From each state to those that may follow it. Staying in a state is always allowed and changes nothing."""

ENDED = frozenset({State.REJECTED, State.CANCELLED, State.EXPIRED})
"""Those that one does not call in again, unless it is activated anew."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What may be told of a subscription; all moments are aware, in UTC.

    Attributes:
        id: the path-safe identifier.
        name: for display.
        product: the product's id; None is the scope of all products.
        state: an active one whose expiration date has passed is expired.
        created_at: when it was made.
        starts_at: from when it may call; None until it is first activated.
        expires_at: from when it may no longer call.
        ended_at: when it was cancelled or rejected, or expired.
        revision: counts its changes; two are equal whatever their revisions.
    """

    id: str
    name: str
    product: str | None
    state: State
    created_at: datetime
    starts_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    revision: int = field(default=0, compare=False)


class SubscriptionPage(NamedTuple):
    """A part of the list of subscriptions, and how many there are in all."""

    items: Sequence[Subscription]
    total: int


@dataclass(frozen=True, slots=True)
class Details:
    """What an operator may say of a subscription.

    Attributes:
        name: for display, 1 to 100 characters.
        product: its id; None is the scope of all products.
        state: None leaves it as it is, and makes a new one `submitted`.
        starts_at: from when it may call; None is no bound.
        expires_at: from when it may no longer call; None is no bound.
        primary_key: 32 lower-case hex digits; None leaves the one that it has, and makes a new one random.
        secondary_key: the same.
    """

    name: str
    product: str | None
    state: State | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new subscription with its two keys, which nothing can show a second time."""

    subscription: Subscription
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: an active subscription, its product with the limits, and which key was used.

    `account` tells the subscription from those that had its id before.
    """

    subscription_id: str
    name: str
    product: Product
    key: KeySlot
    account: int = 0


def utc_now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(UTC)


def state_of(row: Row[Any], now: datetime) -> State:
    """The state of a subscription's row at a moment."""
    # Nothing runs when a date passes, so the state follows from the date when it is read.
    if row.state == State.ACTIVE and row.expires_at is not None and row.expires_at <= now:
        return State.EXPIRED
    return State(row.state)


def subscription_of(row: Row[Any], now: datetime) -> Subscription:
    """What a row tells at a moment."""
    state = state_of(row, now)
    ended_at = row.expires_at if state is State.EXPIRED and row.ended_at is None else row.ended_at
    return Subscription(
        id=row.id,
        name=row.name,
        product=row.product_id,
        state=state,
        created_at=row.created_at,
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        ended_at=ended_at,
        revision=row.revision,
    )


def changes_of(row: Row[Any], wanted: Details, now: datetime) -> dict[str, object]:
    """The columns of a row that is to become what is wanted."""
    check_dates(wanted.starts_at, wanted.expires_at)
    check_future(wanted.expires_at, row.expires_at, now)
    changes: dict[str, object] = {
        "name": checked_name(wanted.name),
        "product_id": wanted.product,
        "starts_at": wanted.starts_at,
        "expires_at": wanted.expires_at,
    }
    before = subscription_of(row, now)
    if wanted.state is before.state:
        # Written down also where it only followed from a date: who says "expired" means it, whatever the new date.
        changes |= {"state": before.state.value, "ended_at": before.ended_at}
    elif wanted.state is not None:
        changes |= state_changes(before, wanted.state, wanted.starts_at, wanted.expires_at, now)
    return changes


def state_changes(
    before: Subscription, state: State, starts_at: datetime | None, expires_at: datetime | None, now: datetime
) -> dict[str, object]:
    """The columns of a subscription that moves to another state and shall have these dates. Raises ConflictError."""
    _check_transition(before.id, before.state, state, expires_at, now)
    return {
        "state": state.value,
        "starts_at": starts_at or (now if state is State.ACTIVE else None),
        "ended_at": now if state in ENDED else None,
    }


def _check_transition(sid: str, current: State, wanted: State, expires_at: datetime | None, now: datetime) -> None:
    allowed = TRANSITIONS[current]
    if wanted not in allowed:
        ways = f"It may become {' or '.join(sorted(allowed))}." if allowed else "Create a new one instead."
        raise ConflictError(f"Subscription '{sid}' is {current} and cannot become {wanted}. {ways}")
    if wanted is State.ACTIVE and expires_at is not None and expires_at <= now:
        raise ConflictError(f"Subscription '{sid}' expired on {expires_at:%Y-%m-%d}. Set a later date first.")


def check_dates(starts_at: datetime | None, expires_at: datetime | None) -> None:
    """Raises InvalidRequestError where a date has no time zone, or the end does not follow the start."""
    for moment, param in ((starts_at, "startDate"), (expires_at, "expirationDate")):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequestError(f"{param} should have a time zone.", param=param)
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        raise InvalidRequestError("The expiration date should follow the start date.", param="expirationDate")


def check_future(expires_at: datetime | None, before: datetime | None, now: datetime) -> None:
    """Raises InvalidRequestError where a new end is not in the future; `before` is the old one."""
    # A date that passed may stay where it stands: who changes the name of what has expired need not touch it.
    if expires_at is not None and expires_at != before and expires_at <= now:
        raise InvalidRequestError(
            "The expiration date should be in the future. To end a subscription now, suspend or cancel it.",
            param="expirationDate",
        )
