"""Transactions on the driver itself do what SQLAlchemy's do: the same rows, the same faults, nothing left behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from gateway.errors import UnavailableError
from gateway.store import ConstraintError, call_rows, open_store
from gateway.store.tables import calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.store import Store

NOON = datetime(2030, 1, 1, 12, 0, 0, 250, tzinfo=UTC)
ROW = {
    "id": "c" * 32,
    "trace_id": "t" * 32,
    "subscription_id": "acme",
    "key_slot": "primary",
    "product_id": "starter",
    "operation": "Get Data",
    "started_at": NOON,
    "day": "2030-01-01",
    "beat": 0,
    "reserved": 10,
    "prompt_tokens": 3,
    "cached_tokens": 0,
    "completion_tokens": 4,
    "delivered_tokens": 4,
    "first_token_seconds": 0.125,
    "account": 0,
}
EVERY = select(calls)


def add(store: Store) -> None:
    with store.writing_directly() as connection:
        call_rows.add(connection, ROW)


def found(store: Store) -> list[dict[str, object]]:
    with store.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(EVERY)]  # noqa: SLF001 - SQLAlchemy's public name


def test_values_go_in_and_come_out_as_through_sqlalchemy(store: Store) -> None:
    add(store)
    expected = {**dict.fromkeys(calls.c.keys()), **ROW}
    assert found(store) == [expected]
    for _ in range(2):  # the first result of a statement tells the types of those that follow
        with store.looking() as connection:
            assert [row._asdict() for row in connection.execute(EVERY, {})] == [expected]


def test_what_a_block_raises_undoes_it_and_passes_unchanged(store: Store) -> None:
    error = KeyError("mine")

    def add_and_fail() -> None:
        with store.writing_directly() as connection:
            call_rows.add(connection, ROW)
            raise error

    with pytest.raises(KeyError) as raised:
        add_and_fail()
    assert raised.value is error
    assert found(store) == []
    add(store)  # nothing is held by it


def test_a_collision_is_a_constraint_and_undoes_the_block(store: Store) -> None:
    add(store)

    def change_and_collide() -> None:
        with store.writing_directly() as connection:
            call_rows.reserve(connection, "c" * 32, model="m", prompt_tokens=99, reserved=99)
            call_rows.add(connection, ROW)

    with pytest.raises(ConstraintError):
        change_and_collide()
    assert [row["prompt_tokens"] for row in found(store)] == [3]


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Store]:
    store = open_store(postgresql_url)
    yield store
    store.close()


def test_a_connection_that_broke_is_unavailable_and_not_used_again(postgresql: Store) -> None:
    others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def add_when_broken() -> None:
        with postgresql.writing_directly() as connection:
            with postgresql.writing() as other:
                other.execute(others)
            call_rows.add(connection, ROW)

    with pytest.raises(UnavailableError):
        add_when_broken()
    add(postgresql)
    assert len(found(postgresql)) == 1


def test_the_connection_that_was_given_back_last_is_the_next(store: Store) -> None:
    def used() -> set[int]:
        found = set()
        for _ in range(6):
            with store.looking() as connection:
                found.add(id(connection._cursor.connection))  # noqa: SLF001 - whose it is
        return found

    with store.looking(), store.looking(), store.looking():
        pass  # there are three
    assert len(used()) == 1
