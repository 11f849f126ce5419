"""What several tests of faults share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.scripted import Scripted, scripted
from tests.http.conftest import log
from tests.openapi.conftest import admin, clock, described, store

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["admin", "clock", "described", "log", "store"]


@pytest.fixture(scope="module")
def scripted_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    """The gateway over a scripted engine, for the tests of one file."""
    with scripted(tmp_path_factory.mktemp("scripted")) as started:
        yield started
