"""The real gateway for faults that it survives: one for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.crowd import Crowd
from tests.faults.scripted import Scripted, scripted
from tests.http.conftest import log
from tests.openapi.conftest import admin, clock, described, store
from tests.real.callers import ADMIN_TOKEN
from tests.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer

__all__ = ["admin", "clock", "described", "log", "store"]

READ_TIMEOUT = 5.0


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """gunicorn, vLLM, the demo model. A test that kills a part of it waits until it serves again."""
    environment = {"GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN, "GATEWAY_READ_TIMEOUT": str(READ_TIMEOUT)}
    with running(tmp_path_factory.mktemp("faults"), **environment) as server:
        yield server


@pytest.fixture
def crowd(gateway: GatewayServer) -> Iterator[Crowd]:
    """Its callers."""
    with Crowd(gateway.port) as callers:
        yield callers


@pytest.fixture(scope="module")
def scripted_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    """The gateway over a scripted engine, for the tests of one file."""
    with scripted(tmp_path_factory.mktemp("scripted")) as started:
        yield started
