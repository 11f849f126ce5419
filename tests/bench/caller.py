"""Who calls the gateway: a subscription whose product has every limit, none of which it ever meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.keys import KeyHasher
from gateway.products import Products
from gateway.store import open_store
from gateway.subscriptions import Subscriptions
from tests.bench.limits import ALL

if TYPE_CHECKING:
    from pathlib import Path

PEPPER = "a pepper for the benchmark only, 32"


def database_in(folder: Path) -> str:
    """The URL of a gateway's database there."""
    return f"sqlite:///{folder / 'gateway.sqlite3'}"


def make_key(folder: Path) -> str:
    """A key, in the database that a gateway will use; with `PEPPER`."""
    store = open_store(database_in(folder))
    try:
        Products(store).set("all", lambda _old: ALL)
        return Subscriptions(store, KeyHasher(PEPPER.encode())).create("bench", "all").primary_key
    finally:
        store.close()
