"""What the tests of faults measure, and the options that run them at full size and write the table.

    python -m pytest tests/faults --full --figures docs/reliability.md

A test takes the fixture `figure` and says what it measured: `figure(9, "500 hang-ups, empty after 0.21 s")`. One that
has a short and a full form takes `full`. Loaded as a plugin by `tests/conftest.py`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.bench import machine
from tests.faults import table

if TYPE_CHECKING:
    from collections.abc import Callable

    Figure = Callable[[int, str], None]

_PROPERTY = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options of our own."""
    group = parser.getgroup("faults", "tests of faults")
    group.addoption("--full", action="store_true", help="at the size that docs/reliability.md tells of; takes long")
    group.addoption("--figures", type=Path, metavar="FILE", help="write what is measured into this file's table")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Says what a row of the table comes to: its number, and a few words. Say it before you assert it."""

    def told(row: int, text: str) -> None:
        assert row in table.FAULTS
        assert "|" not in text
        request.node.user_properties.append((_PROPERTY, (row, text)))

    return told


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether to run at full size, whatever time it takes."""
    return bool(pytestconfig.getoption("--full"))


def pytest_configure(config: pytest.Config) -> None:
    """Collect figures where they are to be written."""
    path = config.getoption("--figures")
    if path is not None:
        config.pluginmanager.register(_Writer(path), "figures")


class _Writer:
    """Writes the figures of one run into a document."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._figures: defaultdict[int, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A figure counts for what its test came to."""
        if report.when == "call":
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    row, text = cast("tuple[int, str]", value)
                    self._figures[row].append(f"**does not hold**: {text}" if report.failed else text)

    def pytest_sessionfinish(self) -> None:
        """The table, with the rows anew that were measured."""
        where = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine.describe()['CPU']}"
        self._path.write_text(table.write(self._path.read_text(), self._figures, where))
