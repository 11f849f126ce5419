"""Brings the tables to the newest revision at the start of a process, or of many processes at once."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.store.engines import create_file, for_writing, make_migration_engine, sqlite_path
from gateway.store.faults import StoreError, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"

PATIENCE = 30.0
"""Seconds to wait for another process that is at it."""

_ADVISORY_LOCK = 0x67617465  # any number, the same in every version of the gateway

# Alembic keeps the migration under way in module globals.
_one_at_a_time = threading.Lock()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration to work on an open connection, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: URL) -> None:
    """Makes what is missing: folder, file, tables, starters. What is up to date is only looked at.

    Raises:
        StoreError: a newer version of the gateway has changed the tables, in a way unknown to this one.
        Exception: what SQLAlchemy or the driver raised; the caller translates it.
    """
    path = sqlite_path(url)
    with _one_at_a_time, _between_processes(path):
        engine = make_migration_engine(url, patience=PATIENCE)
        try:
            with engine.connect() as connection:
                if _is_current(connection):
                    return
            if path is not None:
                _log_writes_ahead(engine)
            with for_writing(engine).begin() as connection:
                if path is None:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
                command.upgrade(alembic_config(connection), "head")
        finally:
            engine.dispose()


def _log_writes_ahead(engine: Engine) -> None:
    # Readers then never wait for a writer; the file keeps it. SQLite changes it outside transactions only,
    # and SQLAlchemy's connections are always in one.
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _is_current(connection: Connection) -> bool:
    script = ScriptDirectory.from_config(alembic_config(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"The database is at revision {current}, which this version of the gateway does not know. "
            "Start the newer version that made it, or restore a backup.",
        )
    return current == script.get_current_head()


@contextmanager
def _between_processes(path: Path | None) -> Iterator[None]:
    """Lets one process at a time work on a SQLite file, from before it exists. PostgreSQL has its own lock.

    SQLite does not wait for its locks while the journal mode changes. The lock is on the folder, so that no
    file is left over, and ends with the process that holds it.
    """
    if path is None:
        yield
        return
    create_file(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise unavailable(f"another process has held the tables for {PATIENCE:.0f} s") from None
            time.sleep(0.02)
        else:
            return
