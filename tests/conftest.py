"""Fixtures for all tests. Each real server is started once, by the first test that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.server import GatewayServer, running
from tests.services import RedisServer, empty_postgresql, running_postgresql, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.faults.figures"]


@pytest.fixture(scope="session")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """The real gateway on the demo model, for every test that does it no harm."""
    with running(tmp_path_factory.mktemp("gateway")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A real PostgreSQL; its URL. A test takes `postgresql_url`, whose database is empty."""
    with running_postgresql() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty PostgreSQL database."""
    empty_postgresql(postgresql_server)
    return postgresql_server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis, for every test that does it no harm. A test takes `redis_url`, whose database is empty."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
