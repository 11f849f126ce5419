"""Both engines, for one suite: the scripted one, and the real vLLM as one more client of the running gateway's host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.engines.scripted import Script, ScriptedEngine
from gateway.engines.vllm import VllmEngine
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.engine import Engine
    from tests.server import GatewayServer


@pytest.fixture(scope="session")
def vllm_engine(gateway_server: GatewayServer) -> Iterator[VllmEngine]:
    engine = VllmEngine(gateway_server.runtime_dir, ["get-data-demo"])
    engine.start()
    wait_for(lambda: bool(engine.models()), "the engine", 120)
    yield engine
    engine.stop()


@pytest.fixture(params=["scripted", "vllm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    if request.param == "scripted":
        return ScriptedEngine(lambda _prompt: Script("1, 2, 3 and so on. " * 20, hold_after=200))
    found: VllmEngine = request.getfixturevalue("vllm_engine")
    return found
