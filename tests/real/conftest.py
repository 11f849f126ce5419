"""Gateways of their own for tests that set limits, or that kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.callers import ADMIN_TOKEN
from tests.server import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer


@pytest.fixture(scope="package")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """One worker, with management on. A test that kills a part of it waits until it serves again."""
    with running(tmp_path_factory.mktemp("managed"), GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN) as server:
        yield server


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """Two workers without a Redis, with management on; the engine works on two requests at a time."""
    environment = {
        "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
        "GATEWAY_WORKERS": "2",
        "GATEWAY_ENGINE_ARGS": "--max-num-seqs 2",
    }
    with running(tmp_path_factory.mktemp("pair"), **environment) as server:
        # It is ready with its first worker; here calls are to meet both.
        wait_for(lambda: sum("attached to engine" in line for line in server.log) == 2, "both workers")
        yield server
