"""The statements on products: rows in an open transaction. `gateway.products` knows what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from gateway.store.tables import products

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


def ids(connection: Connection) -> Sequence[str]:
    """Every product's id, sorted."""
    return connection.execute(select(products.c.id).order_by(products.c.id)).scalars().all()


def add(connection: Connection, values: Mapping[str, object]) -> None:
    """A new product. Raises ConstraintError (from the transaction) where its id is taken."""
    connection.execute(insert(products).values(values))


def change(connection: Connection, pid: str, values: Mapping[str, object]) -> None:
    """New values for some columns of a product."""
    connection.execute(update(products).where(products.c.id == pid).values(values))
