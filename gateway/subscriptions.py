"""Subscriptions: who may call. Issues their two keys, verifies them, replaces them; keeps states and dates.

Only digests of keys are kept, and a key is in no repr: `Issued`, `regenerate` and `ensure_dev` are the only
places where one comes out. Nothing is cached, so that every change counts at once in every process. Knows
nothing of HTTP.
"""

from __future__ import annotations

import hmac
import re
import secrets
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from gateway.errors import ConflictError, InvalidKeyError, InvalidRequestError, MissingKeyError, NotFoundError
from gateway.keys import is_well_formed, new_key
from gateway.products import ALL_PRODUCTS, check_id, checked_name, is_id, product_from, unknown_product
from gateway.revisions import require, unconditionally
from gateway.store import ConstraintError, product_rows, subscription_rows
from gateway.store.tables import ID_LENGTH
from gateway.subscription import (
    ENDED,
    Caller,
    Issued,
    KeySlot,
    State,
    SubscriptionPage,
    changes_of,
    check_dates,
    check_future,
    state_changes,
    state_of,
    subscription_of,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from gateway.keys import KeyHasher
    from gateway.revisions import Condition
    from gateway.store import Store
    from gateway.subscription import Details, Subscription

DEV = "dev"
"""The subscription of the embedded default; no other one gets this id from its name."""

DEV_PRODUCT = "unlimited"

_TRIES = 5
_LONGEST_SLUG = 60


class Subscriptions:
    """The subscriptions in a store. Every method may raise UnavailableError.

    Args:
        store: where they are kept.
        hasher: turns keys into what is kept of them.
        clock: the moment, aware.
    """

    def __init__(self, store: Store, hasher: KeyHasher, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock

    def verify(self, key: str | None) -> Caller:
        """Who has this key.

        Raises:
            MissingKeyError: no key came, or an empty one.
            InvalidKeyError: nobody has it, or its subscription may not call now; `detail` says which.
        """
        if not key:
            raise MissingKeyError
        if not is_well_formed(key):
            raise InvalidKeyError("the key is not 32 lower-case hex digits")
        digest = self._hasher.digest(key)
        with self._store.looking() as connection:
            row = subscription_rows.find_by_digest(connection, digest)
        if row is None:
            raise InvalidKeyError("no subscription has this key")
        # All of it is done for each key, so that the time tells nothing of an unknown one or of a state.
        now = self._clock()
        state = state_of(row, now)
        product = ALL_PRODUCTS if row.product_id is None else product_from(row)
        caller = Caller(row.id, row.name, product, row.slot, row.account)
        if not hmac.compare_digest(row.digest, digest):
            raise InvalidKeyError("no subscription has this key")
        if state is not State.ACTIVE:
            raise InvalidKeyError(f"subscription {row.id} is {state}")
        # One that was reached when the subscription was made does not bind: the clock may have been set back since.
        if row.starts_at is not None and row.created_at < row.starts_at and now < row.starts_at:
            raise InvalidKeyError(f"subscription {row.id} starts at {row.starts_at.isoformat()}")
        return caller

    def list(self) -> Sequence[Subscription]:
        """Every subscription, the oldest first."""
        with self._store.reading() as connection:
            rows = subscription_rows.find_all(connection)
        now = self._clock()
        return [subscription_of(row, now) for row in rows]

    def page(self, top: int, skip: int) -> SubscriptionPage:
        """At most `top` subscriptions, the oldest first, after the first `skip` of them."""
        with self._store.reading() as connection:
            rows = subscription_rows.find_page(connection, top, skip)
            total = subscription_rows.count(connection)
        now = self._clock()
        return SubscriptionPage([subscription_of(row, now) for row in rows], total)

    def get(self, sid: str) -> Subscription:
        """One subscription. Raises NotFoundError."""
        with self._store.reading() as connection:
            row = _existing(connection, sid)
        return subscription_of(row, self._clock())

    def create(  # noqa: PLR0913 - the fields of a subscription, all but two with a default
        self,
        name: str,
        product: str | None,
        *,
        sid: str | None = None,
        state: State = State.ACTIVE,
        primary_key: str | None = None,
        secondary_key: str | None = None,
        starts_at: datetime | None = None,
        expires_at: datetime | None = None,
    ) -> Issued:
        """A new subscription.

        Args:
            name: for display, 1 to 100 characters; two subscriptions may share one.
            product: its id; None is the scope of all products.
            sid: its id; made from the name where absent.
            state: any.
            primary_key: 32 lower-case hex digits; random where absent.
            secondary_key: the same.
            starts_at: from when it may call; now where absent and active.
            expires_at: from when it may no longer call.

        Raises:
            InvalidRequestError: an argument is at fault, or there is no such product.
            ConflictError: the id or a key is taken.
        """
        if sid is not None:
            check_id(sid, "subscription")
        state, now = State(state), self._clock()
        values = {
            "name": checked_name(name),
            "product_id": product,
            "state": state.value,
            "created_at": now,
            "starts_at": starts_at or (now if state is State.ACTIVE else None),
            "expires_at": expires_at,
            "ended_at": now if state in ENDED else None,
        }
        check_dates(starts_at, expires_at)
        primary, secondary = _checked_key(primary_key, "primary"), _checked_key(secondary_key, "secondary")
        _check_differ(primary, secondary)
        for candidate in [sid] if sid is not None else _ids_for(name):
            row = {"id": candidate, **values}
            try:
                with self._store.writing() as connection:
                    subscription_rows.add(connection, row, self._digests(primary, secondary))
                    made = _existing(connection, candidate)
            except ConstraintError:
                self._explain(product, primary, secondary, new=candidate)
            else:
                return Issued(subscription_of(made, now), primary, secondary)
        raise _IdTakenError(f"The subscription id {sid or candidate!r} is taken. Choose another.")

    def ensure_dev(self, key: str | None) -> str | None:
        """Sees to it that there is a subscription `dev`, also with several processes starting at once.

        Args:
            key: the primary key that it shall have; None leaves the keys that it has, or makes random ones.

        Returns:
            The random primary key, from the one call that made it; else None. It is shown this once.

        Raises:
            InvalidRequestError: `key` is not 32 lower-case hex digits.
            ConflictError: another subscription has `key`, or it is dev's secondary key.
        """
        wanted = _checked_key(key, "primary")
        for _ in range(_TRIES):
            try:
                made = self._make_or_update_dev(wanted, update=key is not None)
            except ConstraintError:
                # Another host made `dev` just now: look again. Or the key is taken: that will not change.
                self._explain_dev(wanted)
            else:
                return wanted if made and key is None else None
        raise ConflictError(f"Subscription '{DEV}' cannot be made: the product '{DEV_PRODUCT}' comes and goes.")

    def put(
        self, sid: str, make: Callable[[Subscription | None], Details], condition: Condition = unconditionally
    ) -> Issued | Subscription:
        """Creates a subscription under an id, or changes the one that is there.

        Args:
            sid: its id.
            make: from the subscription as it is (None, where it is new) to what it shall be. Runs inside the
                transaction where there is one to be changed, and again where somebody else makes it or takes it away
                meanwhile.
            condition: what must hold for the subscription as it is now.

        Returns:
            A new one with its keys, which are shown this once; else what the old one has become.

        Raises:
            InvalidRequestError: the id or a detail is at fault, or there is no such product.
            PreconditionFailedError: the condition does not hold.
            ConflictError: `TRANSITIONS` has no way to the state, a key is in use, or others make it and take it away
                time and again.
        """
        check_id(sid, "subscription")
        for _ in range(_TRIES):
            with suppress(NotFoundError):
                return self.change(sid, make, condition)
            require(condition, None, f"subscription '{sid}'")
            try:
                return self._create_as(sid, make(None))
            except _IdTakenError:
                continue  # somebody else made it just now: it is a change
        raise _contended(sid)

    def _create_as(self, sid: str, wanted: Details) -> Issued:
        check_future(wanted.expires_at, None, self._clock())
        return self.create(
            wanted.name,
            wanted.product,
            sid=sid,
            state=State.SUBMITTED if wanted.state is None else wanted.state,
            primary_key=wanted.primary_key,
            secondary_key=wanted.secondary_key,
            starts_at=wanted.starts_at,
            expires_at=wanted.expires_at,
        )

    def change(
        self, sid: str, make: Callable[[Subscription], Details], condition: Condition = unconditionally
    ) -> Subscription:
        """Changes a subscription; arguments and errors as `put`, and NotFoundError where there is none."""
        now, wanted = self._clock(), None
        try:
            with self._store.writing() as connection:
                row = _existing(connection, sid, lock=True)
                before = subscription_of(row, now)
                require(condition, before.revision, f"subscription '{sid}'")
                wanted = make(before)
                subscription_rows.change(connection, sid, changes_of(row, wanted, now))
                for slot, digest in self._given_digests(wanted).items():
                    subscription_rows.replace_key(connection, sid, slot, digest)
                return subscription_of(_existing(connection, sid), now)
        except ConstraintError:
            if wanted is not None:
                self._explain(wanted.product, *filter(None, (wanted.primary_key, wanted.secondary_key)))
            raise _contended(sid) from None

    def delete(self, sid: str, condition: Condition = unconditionally) -> None:
        """Takes a subscription away; its keys are void at once.

        Raises:
            NotFoundError: there is no such subscription.
            PreconditionFailedError: the condition does not hold.
        """
        with self._store.writing() as connection:
            require(condition, _existing(connection, sid, lock=True).revision, f"subscription '{sid}'")
            subscription_rows.remove(connection, sid)

    def set_state(self, sid: str, state: State) -> Subscription:
        """Moves a subscription to another state.

        Raises:
            NotFoundError: there is no such subscription.
            ConflictError: `TRANSITIONS` has no way there, or it would be active past its expiration date.
        """
        now = self._clock()
        with self._store.writing() as connection:
            before = subscription_of(_existing(connection, sid, lock=True), now)
            if before.state is not state:
                changes = state_changes(before, state, before.starts_at, before.expires_at, now)
                subscription_rows.change(connection, sid, changes)
        return self.get(sid)

    def activate(self, sid: str) -> Subscription:
        """Lets a submitted, suspended or expired subscription call; raises as `set_state`."""
        return self.set_state(sid, State.ACTIVE)

    def suspend(self, sid: str) -> Subscription:
        """Keeps a subscription from calling until it is activated again; raises as `set_state`."""
        return self.set_state(sid, State.SUSPENDED)

    def cancel(self, sid: str) -> Subscription:
        """Ends a subscription for good; raises as `set_state`."""
        return self.set_state(sid, State.CANCELLED)

    def set_dates(self, sid: str, *, starts_at: datetime | None, expires_at: datetime | None) -> Subscription:
        """Sets both dates; None is no bound. One that expired by its date and now ends later is active again.

        Raises:
            NotFoundError: there is no such subscription.
            InvalidRequestError: it would end before it starts.
        """
        check_dates(starts_at, expires_at)
        with self._store.writing() as connection:
            _existing(connection, sid, lock=True)
            subscription_rows.change(connection, sid, {"starts_at": starts_at, "expires_at": expires_at})
        return self.get(sid)

    def regenerate(self, sid: str, slot: KeySlot) -> str:
        """Replaces one key of a subscription; the other one stays, the old one is void at once.

        Returns:
            The new key, shown this once.

        Raises:
            NotFoundError: there is no such subscription.
            InvalidRequestError: no such slot.
        """
        if slot not in get_args(KeySlot):
            raise InvalidRequestError("The key should be 'primary' or 'secondary'.", param="key")
        key = new_key()
        with self._store.writing() as connection:
            # First the subscription, then its keys: in the order in which every change locks them.
            _existing(connection, sid, lock=True)
            subscription_rows.change(connection, sid, {})
            subscription_rows.replace_key(connection, sid, slot, self._hasher.digest(key))
        return key

    def _digests(self, primary: str, secondary: str) -> dict[str, bytes]:
        return {"primary": self._hasher.digest(primary), "secondary": self._hasher.digest(secondary)}

    def _given_digests(self, wanted: Details) -> dict[str, bytes]:
        keys: dict[KeySlot, str | None] = {"primary": wanted.primary_key, "secondary": wanted.secondary_key}
        given = {slot: _checked_key(key, slot) for slot, key in keys.items() if key is not None}
        _check_differ(keys["primary"], keys["secondary"])
        return {slot: self._hasher.digest(key) for slot, key in given.items()}

    def _make_or_update_dev(self, primary: str, *, update: bool) -> bool:
        """Whether `dev` was made."""
        digest = self._hasher.digest(primary)
        with self._store.writing() as connection:
            if subscription_rows.find(connection, DEV, lock=True) is None:
                now = self._clock()
                # An operator who has deleted that product still gets a key without limits.
                product = product_rows.find(connection, DEV_PRODUCT)
                values = {
                    "id": DEV,
                    "name": DEV,
                    "product_id": None if product is None else DEV_PRODUCT,
                    "state": State.ACTIVE.value,
                    "created_at": now,
                    "starts_at": now,
                }
                subscription_rows.add(connection, values, self._digests(primary, new_key()))
                return True
            if update and subscription_rows.digest_in(connection, DEV, "primary") != digest:
                subscription_rows.change(connection, DEV, {})
                subscription_rows.replace_key(connection, DEV, "primary", digest)
            return False

    def _explain(self, product: str | None, *given_keys: str, new: str | None = None) -> None:
        """Raises for the reason of a collision, unless it was the id of a `new` one that was taken."""
        with self._store.reading() as connection:
            if product is not None and product_rows.find(connection, product) is None:
                raise InvalidRequestError(unknown_product(connection, product), param="product")
            # Whoever made it may have given it these keys: two who send the same at once.
            if new is not None and subscription_rows.find(connection, new) is not None:
                return
            if subscription_rows.is_taken(connection, [self._hasher.digest(key) for key in given_keys]):
                raise _key_taken()

    def _explain_dev(self, primary: str) -> None:
        digest = self._hasher.digest(primary)
        with self._store.reading() as connection:
            is_dev = subscription_rows.digest_in(connection, DEV, "primary") == digest
            if not is_dev and subscription_rows.is_taken(connection, [digest]):
                raise _key_taken()


class _IdTakenError(ConflictError):
    """There is a subscription with the id already."""


def _existing(connection: Connection, sid: str, *, lock: bool = False) -> Row[Any]:
    # What cannot be an id is not looked for: PostgreSQL does not take every character.
    row = subscription_rows.find(connection, sid, lock=lock) if is_id(sid) else None
    if row is None:
        raise _unknown(sid)
    return row


def _checked_key(key: str | None, slot: KeySlot) -> str:
    if key is None:
        return new_key()
    if not is_well_formed(key):
        raise InvalidRequestError(f"The {slot} key should be 32 lower-case hex digits.", param=f"{slot}Key")
    return key


def _check_differ(primary: str | None, secondary: str | None) -> None:
    if primary is not None and primary == secondary:
        raise InvalidRequestError("The two keys of a subscription should differ.", param="secondaryKey")


def _ids_for(name: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_SLUG].rstrip("-") or "subscription"
    if slug != DEV:
        yield slug
    for _ in range(_TRIES):
        yield f"{slug}-{secrets.token_hex(3)}"


def _unknown(sid: str) -> NotFoundError:
    return NotFoundError(f"There is no subscription {sid[:ID_LENGTH]!r}. List the subscriptions to see their ids.")


def _contended(sid: str) -> ConflictError:
    return ConflictError(f"Subscription '{sid}' is being changed by somebody else. Try again.")


def _key_taken() -> ConflictError:
    # Nor does the text say whose it is.
    return ConflictError("This key is in use already. Choose another, or leave it out to have one made.")
