"""A store in a new SQLite file, or, where a test database is given, also in an emptied PostgreSQL."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from gateway.keys import KeyHasher
from gateway.products import Products
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL")
"""A database that the tests may empty; without it they run on SQLite only."""

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


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRESQL else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'var' / 'gateway.sqlite3'}"
    engine = create_engine(str(POSTGRESQL))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return str(POSTGRESQL)


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
