"""An app with the commands and a store of its own, without a server and without an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from app.cli import register_commands
from gateway.keys import KeyHasher
from gateway.products import Products
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions
from gateway.traces import Traces
from gateway.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}", patience=0.05)
    yield store
    store.close()


@pytest.fixture
def subscriptions(store: Store) -> Subscriptions:
    return Subscriptions(store, KeyHasher(b"a pepper that only the tests know"))


@pytest.fixture
def products(store: Store) -> Products:
    return Products(store)


@pytest.fixture
def traces(store: Store) -> Traces:
    return Traces(store, KeyHasher(b"a pepper that only the tests know"))


@pytest.fixture
def flask(store: Store, subscriptions: Subscriptions, products: Products, traces: Traces) -> Callable[..., Result]:
    """Runs `flask` with the given arguments."""
    app = Flask("tests")
    app.extensions["gateway"] = SimpleNamespace(
        subscriptions=subscriptions, products=products, usage=Usage(store), traces=traces
    )
    register_commands(app)
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=arguments)
