"""The statements on subscriptions and keys: rows in an open transaction.

`gateway.subscriptions` knows what they mean. Keys come here as digests only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from gateway.store.product_rows import PRODUCT_COLUMNS
from gateway.store.tables import keys, products, subscriptions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from gateway.store.direct import Direct

# Built once: this one runs at every request. Each join goes over a primary key. It finds the key with the digest or,
# where nobody has that, the next one, so that it reads as much for a key that is unknown.
_ANY = keys.alias("any_key")
_NEXT = func.coalesce(
    select(_ANY.c.digest)
    .where(_ANY.c.digest >= bindparam("wanted", type_=keys.c.digest.type))
    .order_by(_ANY.c.digest)
    .limit(1)
    .scalar_subquery(),
    select(_ANY.c.digest).order_by(_ANY.c.digest).limit(1).scalar_subquery(),
)
_BY_DIGEST = (
    select(keys.c.digest, keys.c.slot, *subscriptions.c, *PRODUCT_COLUMNS)
    .select_from(
        keys.join(subscriptions, subscriptions.c.id == keys.c.subscription_id).outerjoin(
            products, products.c.id == subscriptions.c.product_id
        )
    )
    .where(keys.c.digest == _NEXT)
)
_ALL = select(subscriptions).order_by(subscriptions.c.created_at, subscriptions.c.id)


def find_by_digest(connection: Direct, digest: bytes) -> Row[Any] | None:
    """The subscription with this key, the key's digest and slot, and the product's columns (all None without one).

    Where nobody has the key, some other row: whoever asks compares the digest. None where there is no key at all.
    """
    found: Row[Any] | None = connection.execute(_BY_DIGEST, {"wanted": digest}).one_or_none()
    return found


def find(connection: Connection, sid: str, *, lock: bool = False) -> Row[Any] | None:
    """The subscription's row, or None; `lock` keeps other writers off it until the transaction ends."""
    statement = select(subscriptions).where(subscriptions.c.id == sid)
    return connection.execute(statement.with_for_update() if lock else statement).one_or_none()


def find_all(connection: Connection) -> Sequence[Row[Any]]:
    """Every subscription's row, the oldest first."""
    return connection.execute(_ALL).all()


def find_page(connection: Connection, top: int, skip: int) -> Sequence[Row[Any]]:
    """At most `top` subscriptions' rows, the oldest first, after the first `skip` of them."""
    return connection.execute(_ALL.limit(top).offset(skip)).all()


def count(connection: Connection) -> int:
    """How many subscriptions there are."""
    return connection.execute(select(func.count()).select_from(subscriptions)).scalar_one()


def add(connection: Connection, values: Mapping[str, object], digests: Mapping[str, bytes]) -> None:
    """A new subscription with its keys' digests by slot.

    Raises ConstraintError (from the transaction) where the id or a key is taken, or no such product exists.
    """
    connection.execute(insert(subscriptions).values(values))
    rows = [{"subscription_id": values["id"], "slot": slot, "digest": digest} for slot, digest in digests.items()]
    connection.execute(insert(keys), rows)


def change(connection: Connection, sid: str, values: Mapping[str, object]) -> bool:
    """New values for some columns of a subscription, and its next revision; False where there is none."""
    counted = {"revision": subscriptions.c.revision + 1, **values}
    return connection.execute(update(subscriptions).where(subscriptions.c.id == sid).values(counted)).rowcount == 1


def remove(connection: Connection, sid: str) -> None:
    """Takes a subscription away, with its keys."""
    connection.execute(delete(subscriptions).where(subscriptions.c.id == sid))


def replace_key(connection: Connection, sid: str, slot: str, digest: bytes) -> None:
    """Puts another key into a slot of a subscription whose row this transaction has locked. Raises ConstraintError."""
    statement = update(keys).where(keys.c.subscription_id == sid, keys.c.slot == slot).values(digest=digest)
    connection.execute(statement)


def digest_in(connection: Connection, sid: str, slot: str) -> bytes | None:
    """The digest of the key in a subscription's slot."""
    statement = select(keys.c.digest).where(keys.c.subscription_id == sid, keys.c.slot == slot)
    return connection.execute(statement).scalar_one_or_none()


def is_taken(connection: Connection, digests: Collection[bytes]) -> bool:
    """Whether any subscription has a key with one of these digests."""
    return connection.execute(select(keys.c.slot).where(keys.c.digest.in_(digests))).first() is not None
