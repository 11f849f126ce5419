"""The open store: transactions that read, transactions that write, and nothing else."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from gateway.store import direct
from gateway.store.engines import begin_writing, for_writing, make_engine, parse_url, sqlite_path
from gateway.store.faults import translate
from gateway.store.schema import upgrade
from gateway.store.tables import products
from gateway.store.turn_file import TurnFile
from gateway.store.turns import Turns
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Executable


class Store:
    """A database whose tables are up to date. Any thread may use it, and so may a forked child.

    Args:
        engine: from `make_engine`.
        patience: seconds that it waits for a lock.
    """

    def __init__(self, engine: Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._turns = self._make_turns()
        self._writer = for_writing(engine)
        self._begin = begin_writing(engine.dialect, patience)
        self._prepared: dict[Executable, direct.Prepared] = {}
        _stores.add(self)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing.

        Raises:
            UnavailableError: the database cannot be reached, is locked, or is out of order.
        """
        with _translated(self._engine), turn.away(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[direct.Direct]:
        """Room for one statement that reads, and is built once: every request looks its key up.

        Raises:
            UnavailableError: as `reading`.
        """
        with (
            _translated(self._engine),
            nullcontext() if self._turns else turn.away(),
            direct.transaction(self._engine, None, self._prepared) as connection,
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may change the database; it is undone where the block raises.

        Raises:
            UnavailableError: the database cannot be reached, stays locked, is full or out of order.
            ConstraintError: the change collides with what is stored.
        """
        with _translated(self._engine), turn.away(), self._turn(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def writing_directly(self) -> Iterator[direct.Direct]:
        """As `writing`, for statements that are built once: each request has such transactions.

        Raises:
            UnavailableError, ConstraintError: as `writing`.
        """
        with (
            _translated(self._engine),
            self._turn(),
            direct.transaction(self._engine, self._begin, self._prepared) as connection,
        ):
            yield connection

    def check(self) -> None:
        """Raises UnavailableError unless the database answers with its tables in place: for readiness."""
        with self.reading() as connection:
            connection.execute(select(products.c.id).limit(1))

    def close(self) -> None:
        """Gives the idle connections back. Using the store again opens new ones."""
        self._engine.dispose()
        if self._turns is not None:
            self._turns.close()

    def forget_connections(self) -> None:
        """Lets go of the parent's connections in a forked child, without closing them under the parent."""
        self._engine.dispose(close=False)
        if self._turns is not None:
            self._turns.close()  # a lock that parent and child have together would keep neither from the other
        self._turns = self._make_turns()  # a thread of the parent's may have had its turn

    def _turn(self) -> AbstractContextManager[None]:
        return turn.away() if self._turns is None else self._turns.take()  # a server is waited for, a file is not

    def _make_turns(self) -> Turns | None:
        path = sqlite_path(self._engine.url)
        return None if path is None else Turns(self._patience, TurnFile(path, self._patience))


def open_store(url: str, *, patience: float = 1.5) -> Store:
    """The store at `url`, with its folder, file and tables made or brought up to date.

    Safe in several processes at once.

    Args:
        url: a SQLAlchemy URL of a SQLite file or of PostgreSQL.
        patience: seconds that a request waits for a lock or for a free connection.

    Raises:
        StoreError: the operator has to change something: the URL, the driver, the version.
        UnavailableError: the database cannot be reached now.
    """
    parsed = parse_url(url)
    engine = make_engine(parsed, patience=patience)
    with _translated(engine):
        upgrade(parsed)
    return Store(engine, patience)


def connect_store(url: str, *, patience: float = 1.5) -> Store:
    """The store at `url`, which another process has brought up to date. Does not touch the database yet.

    Raises:
        StoreError: the operator has to change something: the URL, the driver.
    """
    return Store(make_engine(parse_url(url), patience=patience), patience)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        raise translate(error) from error


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in _stores:
        store.forget_connections()


# Two processes that speak over one inherited connection would read each other's answers.
os.register_at_fork(after_in_child=_after_fork)
