"""The migrations: what they make is what the code expects, at whatever moment processes start."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from gateway.errors import GatewayError
from gateway.store import Store, StoreError, open_store
from gateway.store.engines import for_writing, make_migration_engine, parse_url
from gateway.store.schema import alembic_config
from gateway.store.tables import metadata
from tests.store.processes import at_once

if TYPE_CHECKING:
    from sqlalchemy import Connection

TABLES = {"alembic_version", *metadata.tables}


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def open_and_count(url: str) -> int:
    store = open_store(url)
    with store.reading() as connection:
        count = int(connection.execute(text("SELECT count(*) FROM products")).scalar_one())
    store.close()
    return count


def test_the_migrations_make_exactly_the_tables_that_the_code_has(store: Store) -> None:
    with store.writing() as connection:
        command.check(alembic_config(connection))


def test_the_code_has_every_constraint_that_the_migrations_make(store: Store) -> None:
    # Alembic's comparison leaves check constraints out.
    with store.reading() as connection:
        for table in metadata.sorted_tables:
            found = {check["name"] for check in inspect(connection).get_check_constraints(table.name)}
            expected = {c.name for c in table.constraints if c.__visit_name__ == "table_or_column_check_constraint"}
            assert found == expected, table.name


def test_every_migration_can_be_undone_and_done_again(store: Store, url: str) -> None:
    engine = make_migration_engine(parse_url(url), patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert table_names(connection) == {"alembic_version"}
    with for_writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "head")
        assert table_names(connection) == TABLES
    engine.dispose()
    store.check()


@pytest.mark.usefixtures("store")
def test_an_older_version_finds_no_sum_that_it_would_not_keep_right(url: str) -> None:
    kept = "INSERT INTO quota_use VALUES ('acme', 'tokens', :period, '2030-01-01 00:00:00+00', NULL, 5)"
    engine = make_migration_engine(parse_url(url), patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
        connection.execute(text(kept), [{"period": "minute"}, {"period": "day"}])
        command.downgrade(alembic_config(connection), "0007")
        assert connection.execute(text("SELECT period FROM quota_use")).scalars().all() == ["day"]
    engine.dispose()


@pytest.mark.usefixtures("store")
def test_what_was_used_before_there_were_accounts_stays_used(url: str) -> None:
    kept = "INSERT INTO quota_use VALUES ('acme', 'tokens', 'day', '2030-01-01 00:00:00+00', NULL, 5)"
    engine = make_migration_engine(parse_url(url), patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
        connection.execute(text(kept))
        command.upgrade(alembic_config(connection), "0009")
        found = connection.execute(text("SELECT subscription_id, account, used FROM quota_use")).all()
        assert [tuple(row) for row in found] == [("acme", 0, 5)]
    engine.dispose()


def test_processes_that_start_at_once_find_the_tables_and_the_starters(url: str) -> None:
    assert at_once(4, open_and_count, url) == [2] * 4


def test_opening_again_changes_nothing(store: Store, url: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE products SET name = 'Mine' WHERE id = 'starter'"))
    again = open_store(url)
    with again.reading() as connection:
        names = connection.execute(text("SELECT name FROM products ORDER BY id")).scalars().all()
    again.close()
    assert names == ["Mine", "Unlimited"]


def test_a_database_of_a_newer_version_is_left_alone(store: Store, url: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        open_store(url)


def test_a_sqlite_database_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "gateway.sqlite3"
    store = open_store(f"sqlite:///{path}")
    with store.writing() as connection:
        connection.execute(text("UPDATE products SET priority = 1"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    store.close()
    assert modes == dict.fromkeys([f"gateway.sqlite3{more}" for more in ("", "-wal", "-shm", "-turn", "-next")], 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_sqlite_is_set_up_for_many_readers_beside_a_writer(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    with store.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    store.close()
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 1500}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "mysql://u:secret@h/d",
        "postgres://h/d",
    ],
)
def test_a_url_that_the_store_cannot_run_on_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert "sqlite:///" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_driver_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StoreError, match="unknown driver"):
        open_store("postgresql+nonesuch://u:secret@h/d")


def test_a_percent_sign_in_the_path_is_no_trouble(tmp_path: Path) -> None:
    assert open_and_count(f"sqlite:///{tmp_path / '100% sure' / 'g.sqlite3'}") == 2


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_and_count("sqlite:///var/g.sqlite3") == 2
    assert Path("var/g.sqlite3").is_file()


def test_a_failed_upgrade_leaves_nothing_behind(url: str) -> None:
    parsed = parse_url(url)
    open_store(url).close()  # makes the file
    engine = make_migration_engine(parsed, patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        connection.execute(text("CREATE TABLE subscription_keys (x INTEGER)"))  # the last one that 0001 makes
    with pytest.raises(GatewayError):
        open_store(url)
    plain = create_engine(parsed)
    with plain.connect() as connection:
        assert table_names(connection) == {"alembic_version", "subscription_keys"}
    plain.dispose()
    engine.dispose()
