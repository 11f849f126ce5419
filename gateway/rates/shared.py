"""Windows in a Redis, which all workers of all hosts share; while it is away, those of this process instead."""

from __future__ import annotations

import threading
import time

import structlog
from limits.storage import RedisStorage
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.rates.memory import MemoryWindows
from gateway.rates.windows import EMPTY, SKEW, LimitsWindows, Seen, Taken
from gateway.turn import turn

PATIENCE = 0.08
"""Seconds to wait for Redis to connect or to answer. A call asks it twice, and is not to lose more than 0.2 s."""

RETRY_SECONDS = 1.0
"""Seconds between two looks at a Redis that is away."""

_PREFIX = "get-data-gateway:call-rate"
# A window opens a little later than `limits` says: it rounds times to 0.1 ms, and waits for the moment to be over.
_ROUNDING = 0.0002

log = structlog.get_logger("gateway.rates")


class RedisWindows(LimitsWindows):
    """Windows in a Redis, which tell the time by the system's clock.

    Args:
        url: from `Settings.redis_url`.
        patience: seconds to wait for Redis at each step.

    Raises:
        ValueError: the URL names what the client does not have. Nobody is connected to yet.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=patience,
            socket_timeout=patience,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # else each new connection asks twice more, only to say what the client is called
        )
        try:
            self._pool.make_connection()
        except (RedisError, TypeError, ValueError, OSError) as error:
            raise ValueError(f"the URL does not do ({type(error).__name__})") from None
        self._storage = RedisStorage("redis://", connection_pool=self._pool, key_prefix=_PREFIX)
        super().__init__(self._storage, time.time)

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """As `Windows.take`. Raises RedisError."""
        taken = self._count(key, calls, seconds)
        if not taken.granted and taken.used < calls:
            taken = taken._replace(wait=self._in_the_way(key, calls) + seconds + _ROUNDING - time.time())
        if taken.wait > seconds + SKEW:  # the clock was set back since
            self._storage.clear(key)
            taken = self._count(key, calls, seconds)
        return taken

    def look(self, key: str, calls: int, seconds: int) -> Seen:
        """As `Windows.look`. Raises RedisError."""
        seen = super().look(key, calls, seconds)
        return EMPTY if seen.wait > seconds + SKEW else seen  # as `take`, which begins it anew

    def check(self) -> None:
        """Raises RedisError unless Redis counts calls: one that answers may still be full or read-only."""
        self._storage.acquire_entry("check", 1, 1)

    def close(self) -> None:
        """Gives the connections back. Using it again opens new ones."""
        self._pool.disconnect()

    def _count(self, key: str, calls: int, seconds: int) -> Taken:
        taken = super().take(key, calls, seconds)
        return taken._replace(wait=taken.wait + _ROUNDING)

    def _in_the_way(self, key: str, calls: int) -> float:
        """When the call was noted that has to leave before another one is granted; 0 where it has left.

        A clock that was moved leaves the times without order. Then `limits`, which looks for a window's beginning by
        halves, may not see this call in it, and yet refuses for it.
        """
        found = Redis(connection_pool=self._pool).lindex(self._storage.prefixed_key(key), calls - 1)
        return float(found) if isinstance(found, (bytes, str)) else 0.0


class SharedWindows:
    """`RedisWindows`, or the windows of this process while Redis is away.

    The first call that meets a Redis that is away loses up to two times its patience; those after it none, since
    a thread looks for Redis until it is back. This process's windows count along, so that they are not empty then.

    Args:
        redis: where to count.
        retry_seconds: between two looks at a Redis that is away.
    """

    def __init__(self, redis: RedisWindows, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._redis = redis
        self._here = MemoryWindows()
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._away = False
        self._outages = 0
        self._closed = threading.Event()

    def take(self, key: str, calls: int, seconds: int) -> Taken:
        """As `Windows.take`; over all processes while Redis is there, else over this one."""
        outages = self._outages
        if not self._away:
            try:
                with turn.away():
                    taken = self._redis.take(key, calls, seconds)
            except RedisError as error:
                self._lost(error, outages)
            else:
                if taken.granted:
                    self._here.take(key, calls, seconds)
                return taken
        return self._here.take(key, calls, seconds)

    def look(self, key: str, calls: int, seconds: int) -> Seen:
        """As `Windows.look`, where `take` would count."""
        outages = self._outages
        if not self._away:
            try:
                with turn.away():
                    return self._redis.look(key, calls, seconds)
            except RedisError as error:
                self._lost(error, outages)
        return self._here.look(key, calls, seconds)

    def close(self) -> None:
        """Stops looking for Redis and gives its connections back. Not to be used any more."""
        self._closed.set()
        self._redis.close()

    def _lost(self, error: RedisError, outages: int) -> None:
        with self._lock:
            if outages != self._outages:
                return  # this call has waited since before the outage that somebody else has told of
            self._outages += 1
            self._away = True
        # The class only: the text names the host.
        log.warning("redis away, call rates are counted in each process", error=type(error).__name__)
        threading.Thread(target=self._look_for_it, name="call-rates-redis", daemon=True).start()

    def _look_for_it(self) -> None:
        while not self._closed.wait(self._retry_seconds):
            try:
                self._redis.check()
            except RedisError:
                continue
            self._away = False
            log.info("redis back, call rates are shared again")
            return
