"""The portal's pages as pictures: light, dark and on a phone, of a gateway with some usage.

python -m tests.portal.screenshots [FOLDER]     # var/screenshots where none is named
"""

from __future__ import annotations

import re
import secrets
import sys
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from gateway.settings import ROOT
from tests.portal.browser import MODES, running_browser, visitor
from tests.real.callers import ADMIN_TOKEN, Caller, asking, manage, put_product
from tests.server import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

PROMPTS = ("Tell me about llama2", "What is HTTP?", "Hello", "Count from 1 to 100")


def main(folder: Path) -> None:
    """Make all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch), GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN) as server:
        put_product(server, "gold", rate={"calls": 60}, tokenQuota={"amount": 20_000, "period": "month"})
        caller = Caller(server, "ada", secrets.token_hex(16))
        wanted = {"displayName": "Ada Lovelace", "scope": "/products/gold", "state": "active", "primaryKey": caller.key}
        made = manage(server, "PUT", "/subscriptions/ada", {**wanted})
        if made.status != HTTPStatus.CREATED:
            raise RuntimeError(made.content)
        for prompt in PROMPTS:
            caller.ask(prompt, max_tokens=200)
        with running_browser() as browser:
            for mode in MODES:
                with visitor(browser, server.url, mode, caller.key) as person:
                    for name, (path, prepare) in PICTURES.items():
                        page = person.open(path)
                        prepare(page, caller)
                        file = folder / f"{name}-{mode}.png"
                        page.screenshot(path=file)
                        sys.stdout.write(f"{file}\n")


def _nothing(page: Page, caller: Caller) -> None:
    del page, caller


def _tried(page: Page, caller: Caller) -> None:
    del caller
    page.click("#send")
    expect(page.locator("#state")).to_have_text("Done.")
    page.evaluate("scrollTo({top: document.querySelector('.page').offsetTop - 80, behavior: 'instant'})")


def _sampled(page: Page, caller: Caller) -> None:
    del caller
    page.check("#languages input[value=python-openai]")
    page.evaluate("document.querySelector('#samples-title').scrollIntoView({behavior: 'instant'})")


def _subscribed(page: Page, caller: Caller) -> None:
    del caller
    page.locator("#chart svg").wait_for()
    page.evaluate("document.querySelector('#about').closest('section').scrollIntoView({behavior: 'instant'})")


def _drawn(page: Page, caller: Caller) -> None:
    del caller
    page.locator(".opblock").first.wait_for()


def _operated(page: Page, caller: Caller) -> None:
    page.fill("#token", ADMIN_TOKEN)
    page.click("#enter button[type=submit]")
    page.locator("#chart svg").wait_for()
    with asking(Caller(caller.server, "dev", caller.server.key), 8):
        expect(page.locator("[data-figure=tokens]")).to_have_text(re.compile(r"\d{3,}"))
        expect(page.locator("[data-figure=running]")).to_have_text(re.compile("^[5-8]$"))
        # It looks no more: this is the picture.
        page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    page.evaluate("document.querySelector('#operator').scrollIntoView({behavior: 'instant'})")


def _edited(page: Page, caller: Caller) -> None:
    del caller
    page.get_by_label("Edit: gold", exact=True).click()
    page.locator("#product-dialog").wait_for()


PICTURES: dict[str, tuple[str, Callable[[Page, Caller], None]]] = {
    "overview": ("/", _nothing),
    "try-it": ("/portal/operations/get-data", _tried),
    "samples": ("/portal/operations/get-data", _sampled),
    "subscription": ("/portal/subscription", _subscribed),
    "reference": ("/portal/reference", _drawn),
    "model": ("/portal/models", _nothing),
    "changelog": ("/portal/changelog", _nothing),
    "operator": ("/admin", _operated),
    "operator-product": ("/admin", _edited),  # with the token from before
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "var" / "screenshots")
