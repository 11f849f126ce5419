"""SQLAlchemy engines for the databases that the store runs on: how each is connected to and how it begins.

All that differs between SQLite and PostgreSQL is here and in `schema`, which brings the tables up to date.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool

from gateway.store.faults import StoreError, unavailable

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Dialect
    from sqlalchemy.pool import ConnectionPoolEntry

# Requests hold a connection for well under a millisecond, so a few serve hundreds of threads. The one that was given
# back last is the next: SQLite has what it has read in memory until another connection writes.
_POOL = {"pool_size": 8, "max_overflow": 8, "pool_use_lifo": True}
_WRITES = "gateway_writes"
_FORMS = "Write it as sqlite:///path or postgresql://user:password@host/database"


def parse_url(text: str) -> URL:
    """The database's address.

    Raises:
        StoreError: no URL, or a database or a driver that the store does not run on; the text is not repeated,
            since a URL may hold a password.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        raise StoreError(f"The database URL cannot be read. {_FORMS}") from None
    kind, _, driver = url.drivername.partition("+")
    if kind == "sqlite" and driver in {"", "pysqlite"}:
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise StoreError("The SQLite URL should name a file, as sqlite:///path: every process shares it.")
        return url
    if kind != "postgresql":
        raise StoreError(f"The database {url.drivername} is not supported. {_FORMS}")
    try:
        url.get_dialect()
    except exc.NoSuchModuleError:
        raise StoreError(f"The database URL names an unknown driver. {_FORMS}") from None
    return url


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite database; None for another database."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def create_file(path: Path) -> None:
    """An empty database file that only its owner may read, where there is none yet; also its folder.

    Raises:
        UnavailableError: the file system does not let us.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never open one that exists: closing it would drop the locks that SQLite holds on it in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise unavailable(f"{type(error).__name__}: {error}") from error


def make_engine(url: URL, *, patience: float) -> Engine:
    """The engine for requests and commands.

    Args:
        url: from `parse_url`.
        patience: seconds to wait for a lock, or for a free connection.

    Raises:
        StoreError: the driver for this database is not installed.
    """
    if sqlite_path(url) is not None:
        return _sqlite(url, patience, foreign_keys=True, pool_timeout=patience, **_POOL)
    # pre_ping: a connection that a restart of the server broke is replaced before it is used.
    return _postgresql(url, patience, pool_timeout=patience, pool_pre_ping=True, **_POOL)


def make_migration_engine(url: URL, *, patience: float) -> Engine:
    """The engine for changing the schema: no pool, and no foreign keys while tables are rebuilt."""
    if sqlite_path(url) is not None:
        return _sqlite(url, patience, foreign_keys=False, poolclass=NullPool)
    return _postgresql(url, patience, poolclass=NullPool)


def for_writing(engine: Engine) -> Engine:
    """The same engine and pool, whose transactions take the database's write lock at their beginning."""
    return engine.execution_options(**{_WRITES: True})


def begin_writing(dialect: Dialect, patience: float) -> str:
    """The SQL that a transaction which may write begins with, waiting so many seconds for a lock."""
    # In SQLite, one that reads first and then writes fails at once, without waiting, where another process wrote in
    # between. So one that will write takes the lock first.
    return "BEGIN IMMEDIATE" if dialect.name == "sqlite" else f"SET LOCAL lock_timeout = '{int(patience * 1000)}ms'"


def _sqlite(url: URL, patience: float, *, foreign_keys: bool, **options: Any) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        # isolation_level None: the driver leaves BEGIN to us.
        connect_args={"timeout": patience, "isolation_level": None, "check_same_thread": False},
        **options,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        # With a write-ahead log this loses no transaction when the program dies, only when the machine does.
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql(begin_writing(engine.dialect, patience) if writes else "BEGIN")

    return engine


def _postgresql(url: URL, patience: float, **options: Any) -> Engine:
    waits = {
        "connect_timeout": "2",  # the fewest seconds that libpq knows
        "tcp_user_timeout": str(int(patience * 1000) + 2000),  # a server that vanished, in milliseconds
    }
    try:
        engine = create_engine(url.update_query_dict({**waits, **url.query}), hide_parameters=True, **options)
    except ModuleNotFoundError as error:
        raise StoreError(f"This database needs the package {error.name}: install it with pip.") from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES, False):
            connection.exec_driver_sql(begin_writing(engine.dialect, patience))

    return engine
