"""The client programs, as fixtures."""

from __future__ import annotations

import pytest

from tests.clients.programs import TOOLS, Program, prepare


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
