"""SQLAlchemy's statements on the database's own driver, for the few that run at every request.

SQLAlchemy writes the SQL and knows the types, once for each statement. Running one through its `Connection` takes
several times as long as it takes SQLite, and a request has a dozen of them in three transactions. So a transaction that
is all of such statements runs here: the same pool, the same errors (docs/decisions/0003-keys-and-store.md).
"""

from __future__ import annotations

from collections import namedtuple
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Dialect, Engine, Executable
    from sqlalchemy.engine.interfaces import DBAPICursor

    Convert = Callable[[Any], Any]


class Direct:
    """A transaction: what is used of a SQLAlchemy `Connection`, for statements that are built once and kept.

    Attributes:
        dialect: the database's.
    """

    def __init__(self, dialect: Dialect, cursor: DBAPICursor, prepared: dict[Executable, Prepared]) -> None:
        self.dialect = dialect
        self._cursor = cursor
        self._prepared = prepared

    def execute(self, statement: Executable, params: Mapping[str, object]) -> Result:
        """Run a statement with one set of values. An insert needs one for each column; there is no room for an IN.

        Raises:
            SQLAlchemyError: what its own `Connection` would raise.
        """
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = _prepare(statement, self.dialect)
        self.run(prepared.sql, prepared.values(params))
        if prepared.columns and prepared.readers is None:
            prepared.learn(self.dialect, self._cursor)
        return Result(self._cursor, prepared)

    def run(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> None:
        """Run SQL as the driver takes it. Raises as `execute`."""
        try:
            self._cursor.execute(sql, values)
        except self.dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy(error, self.dialect, self._cursor) from error


class Result:
    """What a statement found, as SQLAlchemy's `CursorResult` tells it."""

    def __init__(self, cursor: DBAPICursor, prepared: Prepared) -> None:
        self._cursor = cursor
        self._prepared = prepared

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def __iter__(self) -> Iterator[Any]:
        return map(self._prepared.row, self._cursor.fetchall())

    def one_or_none(self) -> Any:
        """The only row; None where there is none. Raises MultipleResultsFound."""
        rows = self._cursor.fetchall()
        if len(rows) > 1:
            raise exc.MultipleResultsFound
        return self._prepared.row(rows[0]) if rows else None

    def one(self) -> Any:
        """The only row. Raises NoResultFound, MultipleResultsFound."""
        if (row := self.one_or_none()) is None:
            raise exc.NoResultFound
        return row

    def scalar_one(self) -> Any:
        """The first value of the only row. Raises as `one`."""
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        """The same; None where there is no row."""
        row = self.one_or_none()
        return None if row is None else row[0]


@contextmanager
def transaction(engine: Engine, begin: str | None, prepared: dict[Executable, Prepared]) -> Iterator[Direct]:
    """A transaction on a connection of the engine's pool; undone where the block raises.

    Args:
        engine: whose pool.
        begin: the SQL that it begins with; None where the driver begins it, or one statement needs none.
        prepared: what was prepared for this engine so far.

    Raises:
        SQLAlchemyError: the database is away or at fault.
    """
    connection = engine.raw_connection()
    try:
        with closing(connection.cursor()) as cursor:
            direct = Direct(engine.dialect, cursor, prepared)
            try:
                if begin is not None:
                    direct.run(begin)
                yield direct
            except BaseException:
                with suppress(engine.dialect.loaded_dbapi.Error):  # what it was about is on its way
                    connection.rollback()
                raise
            try:
                connection.commit()
            except engine.dialect.loaded_dbapi.Error as error:
                raise _as_sqlalchemy(error, engine.dialect, cursor) from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            connection.invalidate(error)
        raise
    finally:
        connection.close()


@dataclass(slots=True)
class Prepared:
    """A statement in a database's SQL, and how values get into it and out of it.

    Attributes:
        names: of its parameters, in order.
        positional: whether the driver takes them so, and not by name.
        constants: values of the statement's own.
        writers: from Python's values to the driver's, by name.
        columns: what it finds.
        readers: from the driver's values to Python's, by place; None until a first result tells the types of it.
        make: a row of them.
    """

    sql: str
    names: Sequence[str]
    positional: bool
    constants: Mapping[str, object]
    writers: Mapping[str, Convert]
    columns: Sequence[ColumnElement[Any]]
    make: Callable[..., Any]
    readers: Sequence[tuple[int, Convert]] | None = None

    def values(self, params: Mapping[str, object]) -> Sequence[object] | Mapping[str, object]:
        """As the driver takes them."""
        given = {**self.constants, **params}
        for name, write in self.writers.items():
            given[name] = write(given[name])
        return [given[name] for name in self.names] if self.positional else given

    def learn(self, dialect: Dialect, cursor: DBAPICursor) -> None:
        """How to read what the statement finds, from its first result: the types there are the database's."""
        readers = [
            column.type.dialect_impl(dialect).result_processor(dialect, described[1])
            for column, described in zip(self.columns, cursor.description or (), strict=True)
        ]
        self.readers = [(index, read) for index, read in enumerate(readers) if read is not None]

    def row(self, found: Sequence[Any]) -> Any:
        """As Python takes it."""
        if not self.readers:
            return self.make(*found)
        values = list(found)
        for index, read in self.readers:
            values[index] = read(values[index])
        return self.make(*values)


def _prepare(statement: Executable, dialect: Dialect) -> Prepared:
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    names = list(compiled.positiontup if compiled.positional else compiled.params)
    binds = {compiled.bind_names[bind]: bind for bind in compiled.bind_names}
    writers = {name: binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names if name in binds}
    constants = {name: value for name, value in compiled.params.items() if value is not None and name in names}
    columns = list(statement.selected_columns) if isinstance(statement, Select) else []
    return Prepared(
        sql=str(compiled),
        names=names,
        positional=compiled.positional,
        constants=constants,
        writers={name: write for name, write in writers.items() if write is not None},
        columns=columns,
        make=namedtuple("Row", [str(column.key) for column in columns], rename=True),  # noqa: PYI024
    )


def _as_sqlalchemy(error: Exception, dialect: Dialect, cursor: DBAPICursor) -> exc.SQLAlchemyError:
    """An error of the driver's as SQLAlchemy raises it."""
    lost = dialect.is_disconnect(error, None, cursor)  # type: ignore[arg-type]
    found = exc.DBAPIError.instance(
        None,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
    assert isinstance(found, exc.SQLAlchemyError)  # noqa: S101 - an error of the driver's always is
    return found
