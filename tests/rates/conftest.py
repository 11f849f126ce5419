"""Windows in each place that counts calls, and a clock that tests move."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import time_machine

from gateway.rates import CallRates, MemoryWindows
from gateway.rates.shared import RedisWindows
from gateway.rates.stored import StoredWindows
from gateway.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.rates import Windows

LONG = 30.0
"""Seconds of patience where a busy machine is not what the test is about."""

SHARED = ("redis", "sqlite", "postgresql")


def open_windows(kind: str, url: str, stack: ExitStack) -> Windows:
    """The windows at a URL, closed with the stack."""
    if kind == "redis":
        return stack.enter_context(closing(RedisWindows(url, patience=LONG)))
    return StoredWindows(stack.enter_context(closing(open_store(url, patience=LONG))))


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A place that processes share: its kind and its URL."""
    if request.param == "sqlite":
        return request.param, f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
    return request.param, str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["memory", *SHARED])
def windows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Windows]:
    """Empty windows of each kind, by the clock that `clock` moves."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryWindows(time.time)
        elif request.param == "sqlite":
            yield open_windows("sqlite", f"sqlite:///{tmp_path / 'gateway.sqlite3'}", stack)
        else:
            yield open_windows(request.param, str(request.getfixturevalue(f"{request.param}_url")), stack)


@pytest.fixture
def rates(windows: Windows) -> CallRates:
    return CallRates(windows)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """The system's clock; `shift` moves it. It goes on by itself as well."""
    with time_machine.travel("2030-01-01T12:00:00Z", tick=True) as traveller:
        yield traveller
