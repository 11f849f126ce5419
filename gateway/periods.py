"""The windows of quotas: calendar periods in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class Period(StrEnum):
    """How often a quota starts anew."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    LIFETIME = "lifetime"


class Window(NamedTuple):
    """A period from `start` until before `end`; a lifetime has no end."""

    start: datetime
    end: datetime | None

    def seconds_left(self, now: datetime) -> float | None:
        """Until it ends; None where it never does."""
        return None if self.end is None else max(0.0, (self.end - now).total_seconds())


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def window(period: Period, now: datetime) -> Window:
    """The window of a period that a moment is in.

    Args:
        period: weeks begin on Monday (ISO 8601).
        now: aware.
    """
    now = now.astimezone(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case Period.HOUR:
            start = now.replace(minute=0, second=0, microsecond=0)
            return Window(start, start + timedelta(hours=1))
        case Period.DAY:
            return Window(day, day + timedelta(days=1))
        case Period.WEEK:
            start = day - timedelta(days=day.weekday())
            return Window(start, start + timedelta(weeks=1))
        case Period.MONTH:
            start = day.replace(day=1)
            return Window(start, (start + timedelta(days=32)).replace(day=1))
        case Period.YEAR:
            start = day.replace(month=1, day=1)
            return Window(start, start.replace(year=start.year + 1))
        case Period.LIFETIME:
            return Window(_BEGINNING, None)


def clock_time(seconds: float) -> str:
    """A duration as `hh:mm:ss`, as Azure API Management's messages have it; rounded up, hours beyond 99 as they are."""
    whole = int(-(-seconds // 1))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
