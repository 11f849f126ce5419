"""A store on each database that it runs on: a new SQLite file, an emptied PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.keys import KeyHasher
from gateway.products import Products
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEPPER = b"a pepper that only the tests know"


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = field(default=datetime(2030, 1, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        """What it shows."""
        return self.now

    def advance(self, **delta: float) -> None:
        """Move it on, by `timedelta`'s arguments."""
        self.now += timedelta(**delta)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'var' / 'gateway.sqlite3'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def subscriptions(store: Store, clock: Clock) -> Subscriptions:
    return Subscriptions(store, KeyHasher(PEPPER), clock)


@pytest.fixture
def products(store: Store) -> Products:
    return Products(store)
