"""Column types that every database of the store reads back alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in time: aware in Python, UTC in the database.

    SQLite has no time zones and would hand back what PostgreSQL never does, a naive datetime.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """For SQLite all in one: a request writes and compares a dozen moments there."""
        return self._as_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def _as_text(self, value: datetime | None) -> str | None:
        """As SQLAlchemy's own type for SQLite writes a moment."""
        if value is None:
            return None
        return _utc(value).isoformat(" ", "microseconds").removesuffix("+00:00")

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a naive datetime is a bug of the caller's (ValueError)."""
        del dialect
        return None if value is None else _utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """An aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored")
    return value.astimezone(UTC)
