"""The client programs, as fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.npm import install
from tests.clients.openai_api import PROMPT, TOKENS
from tests.clients.programs import TOOLS, Program, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server import GatewayServer


@pytest.fixture(scope="session", params=list(TOOLS))
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Each of the five client programs in turn."""
    return prepare(request.param, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The Java program, for what only it can do."""
    return prepare("java", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The Python program, for what need not be asked five times."""
    return prepare("python", tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def same(gateway_server: GatewayServer) -> dict[str, Any]:
    """What Get Data answers to the question that the tests of OpenAI's clients ask."""
    return gateway_server.generate(PROMPT, max_tokens=TOKENS)


@pytest.fixture(scope="session")
def npm_programs() -> Path:
    """The folder of the programs that use the npm package `openai`, with the package in it."""
    return install()
