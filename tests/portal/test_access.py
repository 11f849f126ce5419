"""Nobody is kept out: no barrier that axe-core finds, on any kind of page, in light, in dark, and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.portal.browser import MODES
from tests.real.callers import ADMIN_TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.portal.conftest import Visit
    from tests.server import GatewayServer

REFERENCE = "/portal/reference"
PAGES = [
    "/",
    "/portal/operations/get-data",
    "/portal/operations/azure-chat-completions",
    "/portal/operations/my-usage",
    "/portal/operations/regenerate-my-key",
    "/portal/operations/put-product",
    "/portal/subscription",
    REFERENCE,
    "/portal/models",
    "/portal/changelog",
    "/admin",
]
SMALLEST_TARGET = 44  # pixels, https://www.w3.org/TR/WCAG22/#target-size-enhanced
TARGETS = (
    "button, .button, input:not([type=checkbox], [type=radio]), select, textarea, summary, nav a, .pills label, .check"
)
MOST_SHIFT = 0.1  # https://web.dev/articles/cls


def barriers(page: Page, axe: str) -> list[dict[str, Any]]:
    """What axe-core finds that is serious or critical; it comes in past the page's policy, as a person's tool does."""
    page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": axe})
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        {"id": one["id"], "where": [node["target"] for node in one["nodes"]][:5]}
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.fixture(scope="package")
def axe(packages: Path) -> str:
    return (packages / "axe-core" / "axe.min.js").read_text("utf-8")


def loaded(page: Page, path: str) -> None:
    """Wait until what a page asks for is shown."""
    if path == REFERENCE:
        page.locator(".opblock").first.wait_for()
    elif path == "/portal/subscription":
        expect(page.locator("#subscription")).to_be_visible()


def open_up(page: Page, path: str) -> None:
    """Show what a page has folded away."""
    if path == REFERENCE:
        page.locator(".opblock-summary-control").first.click()
        page.locator(".opblock-body .response-col_status").first.wait_for()
    page.evaluate("for (const closed of document.querySelectorAll('main details')) closed.open = true")


def small_targets(page: Page) -> list[str]:
    """What a finger would miss."""
    found: list[str] = page.locator(TARGETS).evaluate_all(
        """(targets, smallest) => targets
          .filter((target) => target.checkVisibility() && target.getBoundingClientRect().height < smallest - 0.5)
          .map((target) => target.outerHTML.slice(0, 100))""",
        SMALLEST_TARGET,
    )
    return found


@pytest.mark.parametrize("mode", MODES)
def test_no_page_has_a_barrier_or_jumps_or_is_too_wide_or_too_small_for_a_finger(
    visit: Visit, server: GatewayServer, axe: str, mode: str
) -> None:
    with visit(mode=mode, key=server.key) as person:
        for path in PAGES:
            page = person.open(path)
            loaded(page, path)
            if path != REFERENCE:  # Swagger UI draws itself step by step, and wide
                assert shift(page) < MOST_SHIFT, path
            open_up(page, path)
            assert barriers(page, axe) == [], (path, mode)
            if path != REFERENCE:
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, mode)
                assert mode != "phone" or small_targets(page) == [], path


def shift(page: Page) -> float:
    """How much of the page has moved under the reader's eyes so far."""
    return float(
        page.evaluate(
            """() => new Promise((done) => {
              let sum = 0;
              new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
              }).observe({ type: "layout-shift", buffered: true });
              requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
            })"""
        )
    )


def test_an_answer_and_a_problem_have_no_barrier(visit: Visit, server: GatewayServer, axe: str) -> None:
    for mode in ("light", "dark"):
        with visit(mode=mode, key=server.key, failures={401}) as person:
            page = person.open("/portal/operations/get-data")
            page.click("#send")
            expect(page.locator("#state")).to_have_text("Done.")
            assert barriers(page, axe) == []
            page.fill("#key", "0" * 32)
            page.click("#send")
            page.locator(".problem").wait_for()
            assert barriers(page, axe) == []


@pytest.mark.parametrize("mode", MODES)
def test_the_operators_page_and_its_forms_have_no_barrier(visit: Visit, axe: str, mode: str) -> None:
    with visit(mode=mode) as person:
        page = person.open("/admin")
        page.fill("#token", ADMIN_TOKEN)
        page.press("#token", "Enter")
        for opens, form in ((None, None), ("#new-product", "#product-dialog"), ("Edit: dev", "#subscription-dialog")):
            if opens is not None:
                (page.locator(opens) if opens.startswith("#") else page.get_by_label(opens, exact=True)).press("Enter")
                expect(page.locator(str(form))).to_be_visible()
                assert page.evaluate("document.activeElement.closest('dialog') !== null")
            else:
                page.locator("#chart svg").wait_for()
            assert barriers(page, axe) == [], (form, mode)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (form, mode)
            assert mode != "phone" or small_targets(page) == [], form
            if form is not None:
                page.keyboard.press("Escape")
                expect(page.locator(form)).to_be_hidden()


def test_the_reference_is_drawn_from_the_description_and_asks_nobody_else(visit: Visit) -> None:
    with visit() as person:
        page = person.open(REFERENCE)
        page.locator("#operations-Get_Data-getData").wait_for()
        assert page.locator(".opblock").count() > 20
        page.click(".btn.authorize")
        schemes = page.locator(".auth-container h4").all_inner_texts()
        assert any("subscriptionKeyHeader" in scheme for scheme in schemes)
        assert not any("subscriptionKeyQuery" in scheme for scheme in schemes)
