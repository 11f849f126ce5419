"""The statements on products: rows in an open transaction. `gateway.products` knows what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from gateway.store.tables import products, subscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

PRODUCT_COLUMNS = tuple(column.label(f"products_{column.name}") for column in products.c)
"""A product's columns under names that stay apart from another table's in a join."""

_ALL = select(*PRODUCT_COLUMNS).order_by(products.c.id)
_ONE = select(*PRODUCT_COLUMNS).where(products.c.id == bindparam("wanted"))


def find(connection: Connection, pid: str, *, lock: bool = False) -> Row[Any] | None:
    """The product's row, or None; `lock` keeps other writers off it until the transaction ends."""
    statement = _ONE.with_for_update() if lock else _ONE
    return connection.execute(statement, {"wanted": pid}).one_or_none()


def find_all(connection: Connection) -> Sequence[Row[Any]]:
    """Every product's row, by id."""
    return connection.execute(_ALL).all()


def find_page(connection: Connection, top: int, skip: int) -> Sequence[Row[Any]]:
    """At most `top` products' rows, by id, after the first `skip` of them."""
    return connection.execute(_ALL.limit(top).offset(skip)).all()


def count(connection: Connection) -> int:
    """How many products there are."""
    return connection.execute(select(func.count()).select_from(products)).scalar_one()


def ids(connection: Connection) -> Sequence[str]:
    """Every product's id, sorted."""
    return connection.execute(select(products.c.id).order_by(products.c.id)).scalars().all()


def add(connection: Connection, values: Mapping[str, object]) -> int:
    """A new product; its revision. Raises ConstraintError (from the transaction) where its id is taken."""
    statement = insert(products).values(values).returning(products.c.revision)
    return connection.execute(statement).scalar_one()


def change(connection: Connection, pid: str, values: Mapping[str, object]) -> int:
    """New values for some columns of a product, which must be there; its new revision."""
    statement = update(products).where(products.c.id == pid).values(revision=products.c.revision + 1, **values)
    return connection.execute(statement.returning(products.c.revision)).scalar_one()


def is_subscribed(connection: Connection, pid: str) -> bool:
    """Whether any subscription is for this product."""
    return connection.execute(select(subscriptions.c.id).where(subscriptions.c.product_id == pid)).first() is not None


def remove_subscriptions(connection: Connection, pid: str) -> None:
    """Takes away the subscriptions for this product, with their keys."""
    connection.execute(delete(subscriptions).where(subscriptions.c.product_id == pid))


def remove(connection: Connection, pid: str) -> None:
    """Takes a product away. Raises ConstraintError where a subscription is for it."""
    connection.execute(delete(products).where(products.c.id == pid))
