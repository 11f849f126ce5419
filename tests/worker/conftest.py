"""The server under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.worker.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One gunicorn for every test that leaves it as it was."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started
