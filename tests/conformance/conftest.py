"""VLLM's own server, started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.vllm_server import VllmServer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """It, on the model that the gateway serves."""
    with serving(tmp_path_factory.mktemp("vllm")) as server:
        yield server
