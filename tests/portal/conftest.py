"""One real gateway with management on for all of these tests, which they meet from its first second on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.npm import install
from tests.portal.browser import Visitor, running_browser, visitor
from tests.real.callers import ADMIN_TOKEN
from tests.server import end, launch, wait_until_listening, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser

    from tests.server import GatewayServer

    Visit = Callable[..., AbstractContextManager[Visitor]]

PACKAGES = Path(__file__).with_name("packages")
_LOADED_MS = 120_000


@dataclass
class Loading:
    """What a visitor saw who came before the model was loaded: texts, in their order."""

    engine: str
    title: str
    problem: str
    engine_after: str
    problem_after: str
    answer: str


@dataclass
class Portal:
    """The gateway, and what was seen of it while its model was loading."""

    server: GatewayServer
    loading: Loading


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="package")
def packages() -> Path:
    """The npm packages that these tests use."""
    return install(PACKAGES) / "node_modules"


@pytest.fixture(scope="package")
def portal(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The gateway, ready."""
    server = launch(tmp_path_factory.mktemp("portal"), GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN)
    try:
        wait_until_listening(server)
        loading = watch_loading(browser, server)
        wait_until_ready(server)
        yield Portal(server, loading)
    finally:
        end(server)


@pytest.fixture(scope="package")
def server(portal: Portal) -> GatewayServer:
    """The gateway alone."""
    return portal.server


@pytest.fixture(scope="package")
def visit(browser: Browser, server: GatewayServer) -> Visit:
    """Makes visitors of the gateway, in a mode, with a key."""
    return partial(visitor, browser, server.url)


def watch_loading(browser: Browser, server: GatewayServer) -> Loading:
    """Try Get Data before the model is loaded, and again when the page says that it is."""
    with visitor(browser, server.url, key=server.key, failures={503}) as person:
        page = person.page
        page.goto(f"{server.url}/portal/operations/get-data")
        page.locator("#engine[data-state=waiting]").wait_for()
        engine, title = page.inner_text("#engine"), page.inner_text("h1")
        page.click("#send")
        page.locator("#problem progress").wait_for()
        problem = page.inner_text("#problem")
        page.locator("#engine[data-state=ready]").wait_for(timeout=_LOADED_MS)
        engine_after, problem_after = page.inner_text("#engine"), page.inner_text("#problem")
        page.click("#send")
        page.get_by_text("Done.").wait_for()
        return Loading(engine, title, problem, engine_after, problem_after, page.inner_text("#text"))
