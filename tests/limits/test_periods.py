"""Windows are calendar periods in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.periods import Period, clock_time, window

MOMENT = datetime(2028, 2, 29, 23, 59, 58, 5, tzinfo=UTC)  # a Tuesday

moments = st.datetimes(datetime(1999, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given one


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.HOUR, "2028-02-29T23:00", "2028-03-01T00:00"),
        (Period.DAY, "2028-02-29T00:00", "2028-03-01T00:00"),
        (Period.WEEK, "2028-02-28T00:00", "2028-03-06T00:00"),
        (Period.MONTH, "2028-02-01T00:00", "2028-03-01T00:00"),
        (Period.YEAR, "2028-01-01T00:00", "2029-01-01T00:00"),
    ],
)
def test_a_window_is_the_calendars(period: Period, start: str, end: str) -> None:
    found = window(period, MOMENT)
    assert (found.start, found.end) == (datetime.fromisoformat(start + "Z"), datetime.fromisoformat(end + "Z"))


def test_a_lifetime_has_no_end() -> None:
    found = window(Period.LIFETIME, MOMENT)
    assert found.end is None
    assert found.seconds_left(MOMENT) is None


def test_a_moment_elsewhere_is_taken_in_utc() -> None:
    tokyo = datetime(2030, 1, 1, 3, tzinfo=timezone(timedelta(hours=9)))
    assert window(Period.YEAR, tokyo).start == datetime(2029, 1, 1, tzinfo=UTC)


@given(moments, st.sampled_from([period for period in Period if period is not Period.LIFETIME]))
def test_every_moment_is_in_one_window_and_the_next_begins_where_it_ends(now: datetime, period: Period) -> None:
    found = window(period, now)
    assert found.end is not None
    assert found.start <= now < found.end
    assert window(period, found.end).start == found.end
    assert window(period, found.start) == found
    assert found.seconds_left(now) == (found.end - now).total_seconds()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (0.2, "00:00:01"), (61, "00:01:01"), (604_800, "168:00:00")]
)
def test_durations_are_shown_as_apim_shows_them(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
