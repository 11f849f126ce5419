"""Windows in the store's database: for several workers on one host without a Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.products import LONGEST_RENEWAL
from gateway.rates.windows import EMPTY, SKEW, SWEEP_SECONDS, Seen, Taken
from gateway.store import rate_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.store import Store
    from gateway.store.direct import Direct

_MICROSECONDS = 1_000_000


class StoredWindows:
    """Windows that every process with the same database shares.

    Args:
        clock: seconds since 1970, the same in every process. It is read while nobody else can take from the window.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._swept = time.monotonic()

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """As `Windows.take`. Raises UnavailableError."""
        with self._store.writing_directly() as connection:
            rate_rows.lock(connection, key)
            taken = self._take(connection, key, calls, seconds * _MICROSECONDS)
        self._sweep()
        return taken

    def look(self, key: str, calls: int, seconds: int) -> Seen:
        """As `Windows.look`. Raises UnavailableError."""
        length = seconds * _MICROSECONDS
        with self._store.reading() as connection:
            now = self._now()
            newest = rate_rows.newest(connection, key)
            if newest is None or newest.at > now + SKEW * _MICROSECONDS:
                return EMPTY
            oldest = rate_rows.oldest(connection, key, after=now - length)
            if oldest is None:
                return EMPTY
            used = min(calls, newest.number - oldest.number + 1)
            leaves = rate_rows.time_of(connection, key, newest.number - used + 1)
        return Seen(used, (leaves + length - now) / _MICROSECONDS)

    def _take(self, connection: Direct, key: str, calls: int, length: int) -> Taken:
        now = self._now()
        newest = rate_rows.newest(connection, key)
        if newest is not None and newest.at > now + SKEW * _MICROSECONDS:
            newest = None
        oldest = None if newest is None else rate_rows.oldest(connection, key, after=now - length)
        if newest is None or oldest is None:
            rate_rows.forget(connection, key)
            rate_rows.add(connection, key, 1, now)
            return Taken(granted=True, used=1, wait=length / _MICROSECONDS)
        rate_rows.forget(connection, key, before=oldest.number)
        used = newest.number - oldest.number + 1
        if used < calls:
            # Never before the one that came before: the numbers are in the order of the times.
            rate_rows.add(connection, key, newest.number + 1, max(now, newest.at))
            return Taken(granted=True, used=used + 1, wait=(oldest.at + length - now) / _MICROSECONDS)
        leaves = rate_rows.time_of(connection, key, newest.number - calls + 1)
        return Taken(granted=False, used=used, wait=(leaves + length - now) / _MICROSECONDS)

    def _now(self) -> int:
        return round(self._clock() * _MICROSECONDS)

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        with self._store.writing() as connection:
            removed = rate_rows.sweep(connection, until=self._now() - LONGEST_RENEWAL * _MICROSECONDS)
        if removed == rate_rows.SWEPT_AT_ONCE:
            self._swept -= SWEEP_SECONDS  # there is more: the next call goes on with it
