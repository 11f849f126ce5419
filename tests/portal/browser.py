"""The system's chromium, and what a page must never do in it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

SECONDS = 30
MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True},
}
"""How a page is looked at."""

_NAMES = ("chromium", "google-chrome")
# What a failed request leaves in the console, whoever handles it.
_FAILED_REQUEST = "Failed to load resource: the server responded with a status of "
_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


class BrowserMissingError(Exception):
    """There is no browser: the tests that need it fail, and say what to install."""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """The browser, without a window; none of its own requests go anywhere."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise BrowserMissingError("no chromium: sudo apt-get install chromium")
    arguments = ["--disable-background-networking", "--no-first-run"]
    if os.getuid() == 0:
        arguments.append("--no-sandbox")  # it does not start as root with it
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """A person at a tab of the browser, who notices what a page does behind its back.

    Attributes:
        failures: statuses of failed requests that the test is about; any other is a fault.
    """

    page: Page
    url: str
    failures: Collection[int]
    faults: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Go to a page, and wait until its scripts run and have heard of the engine."""
        self.page.goto(self.url + path)
        self.page.locator("#engine[data-state=ready]").wait_for()
        return self.page

    def check(self) -> None:
        """Nothing was asked of another host, nothing broke, and no policy was violated."""
        assert self.faults == []
        assert self.page.evaluate("window.violations") == []

    def heard(self, message: ConsoleMessage) -> None:
        """A line in the console."""
        if message.type not in {"error", "warning"}:
            return
        status = message.text.removeprefix(_FAILED_REQUEST)[:3]
        if not (message.text.startswith(_FAILED_REQUEST) and int(status) in self.failures):
            self.faults.append(f"{message.type}: {message.text}")

    def asked(self, request: Request) -> None:
        """A request of the page's."""
        if not request.url.startswith((self.url + "/", "data:")):
            self.faults.append(f"asked another host: {request.url}")


@contextmanager
def visitor(
    browser: Browser, url: str, mode: str = "light", key: str | None = None, failures: Collection[int] = ()
) -> Iterator[Visitor]:
    """A new visitor, who has entered a key before; checked at the end."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **MODES[mode])
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script(_VIOLATIONS)
    page = context.new_page()
    found = Visitor(page, url, failures)
    page.on("console", found.heard)
    page.on("pageerror", lambda error: found.faults.append(f"script: {error}"))
    page.on("request", found.asked)
    if key is not None:
        page.goto(url + "/")
        page.evaluate("(key) => sessionStorage.setItem('subscription-key', key)", key)
    try:
        yield found
        found.check()
    finally:
        context.close()
