"""A database that fails: every fault arrives as an error of the gateway's, and the store recovers."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import exc, text

from gateway.errors import InternalError, UnavailableError
from gateway.store import ConstraintError, Store, open_store
from gateway.store.faults import RETRY_AFTER, translate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.subscriptions import Subscriptions

EXPECTED: dict[type[exc.DBAPIError], type[Exception]] = {
    exc.DBAPIError: InternalError,
    exc.InterfaceError: UnavailableError,
    exc.DatabaseError: UnavailableError,
    exc.DataError: InternalError,
    exc.OperationalError: UnavailableError,
    exc.IntegrityError: ConstraintError,
    exc.InternalError: InternalError,
    exc.ProgrammingError: InternalError,
    exc.NotSupportedError: InternalError,
}


def subclasses(of: type[exc.DBAPIError]) -> Iterator[type[exc.DBAPIError]]:
    yield of
    for below in of.__subclasses__():
        yield from subclasses(below)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.sqlite3"


@pytest.fixture
def sqlite(path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{path}", patience=0.05)
    yield store
    store.close()


def change(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE products SET priority = 1"))


@pytest.mark.parametrize("kind", [*subclasses(exc.DBAPIError)])
def test_every_class_of_database_error_has_its_translation(kind: type[exc.DBAPIError]) -> None:
    error = kind("SELECT secret", {"key": "secret"}, sqlite3.Error("what the driver says"))
    translated = translate(error)
    assert type(translated) is EXPECTED[kind]
    assert "secret" not in f"{translated} {translated.__dict__}"


def test_a_lost_connection_is_unavailable_whatever_its_class() -> None:
    error = exc.ProgrammingError("SELECT 1", {}, sqlite3.Error("gone"), connection_invalidated=True)
    assert isinstance(translate(error), UnavailableError)


def test_unavailable_says_to_try_again_and_when_and_hides_the_cause() -> None:
    error = translate(exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open /x/y")))
    assert isinstance(error, UnavailableError)
    assert error.message == "The key store cannot be reached. Try again in 2 seconds."
    assert error.retry_after == RETRY_AFTER
    assert error.detail == "OperationalError: unable to open /x/y"


def test_a_locked_database_is_unavailable_for_writers_and_open_to_readers(sqlite: Store, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError):
            change(sqlite)
        sqlite.check()
        other.execute("ROLLBACK")
    change(sqlite)


def test_a_full_disk_is_unavailable_and_loses_nothing(sqlite: Store) -> None:
    def fill() -> None:
        with sqlite.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            connection.execute(text("UPDATE products SET name = 'changed'"))
            connection.execute(text("CREATE TABLE big AS SELECT randomblob(1000000) AS x"))

    with pytest.raises(UnavailableError) as caught:
        fill()
    assert "full" in str(caught.value.detail)
    with sqlite.reading() as connection:
        assert connection.execute(text("SELECT name FROM products ORDER BY id")).scalars().first() == "Starter"


def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.write_bytes(b"this is no database at all, " * 100)
    with pytest.raises(UnavailableError):
        open_store(f"sqlite:///{path}")


def test_a_database_damaged_while_in_use_is_unavailable(sqlite: Store, path: Path) -> None:
    sqlite.close()
    path.write_bytes(b"this is no database at all, " * 100)
    with pytest.raises(UnavailableError):
        sqlite.check()


def test_a_database_that_vanished_is_unavailable(sqlite: Store, path: Path) -> None:
    sqlite.close()
    path.unlink()
    with pytest.raises(UnavailableError):
        sqlite.check()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError) as caught:
        open_store(f"sqlite:///{tmp_path / 'file' / 'g.sqlite3'}")
    assert str(tmp_path) not in caught.value.message


def test_a_key_cannot_be_verified_while_the_store_is_away(subscriptions: Subscriptions, store: Store) -> None:
    issued = subscriptions.create("acme", "starter")
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE subscription_keys RENAME TO away"))
    with pytest.raises((UnavailableError, InternalError)):
        subscriptions.verify(issued.primary_key)
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO subscription_keys"))
    assert subscriptions.verify(issued.primary_key).subscription_id == "acme"


def test_more_threads_than_connections_wait_and_then_give_up(sqlite: Store) -> None:
    release, reached = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with sqlite.reading():
            reached.release()
            release.wait(timeout=30)

    threads = [threading.Thread(target=hold) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in threads:
        reached.acquire()
    with pytest.raises(UnavailableError):
        sqlite.check()
    release.set()
    for thread in threads:
        thread.join()
    sqlite.check()


def test_what_a_block_raises_itself_undoes_it_and_passes_unchanged(store: Store) -> None:
    def fail() -> None:
        with store.writing() as connection:
            connection.execute(text("UPDATE products SET name = 'changed'"))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fail()
    with store.reading() as connection:
        assert "changed" not in connection.execute(text("SELECT name FROM products")).scalars().all()


def test_a_forked_child_opens_connections_of_its_own(sqlite: Store) -> None:
    sqlite.check()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            sqlite.check()
            change(sqlite)
        except BaseException:  # noqa: BLE001 - whatever it is, pytest must not go on in the child
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    change(sqlite)


def test_of_a_crowd_at_a_locked_file_one_at_a_time_waits_in_the_database(path: Path, sqlite: Store) -> None:
    details: list[str | None] = []
    together = threading.Barrier(12)

    def try_to_change() -> None:
        together.wait()
        with pytest.raises(UnavailableError) as refused:
            change(sqlite)
        details.append(refused.value.detail)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=try_to_change) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        other.execute("ROLLBACK")
    assert len(details) == 12
    waited = [detail for detail in details if detail is not None and "locked" in detail]
    assert 1 <= len(waited) < 12
    change(sqlite)  # it is nobody's turn any more


def test_a_forked_child_has_turns_of_its_own(sqlite: Store) -> None:
    with sqlite.writing():
        sqlite.forget_connections()  # as in the child, while a thread of the parent's writes
    change(sqlite)
