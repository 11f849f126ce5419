"""Fixtures for all tests. The real gateway is started once, by the first test that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server import GatewayServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """The real gateway on the demo model, for every test that does it no harm."""
    with running(tmp_path_factory.mktemp("gateway")) as server:
        yield server
