"""A caller's own subscription in a real browser: limits, usage, keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.real.callers import caller_with

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.portal.conftest import Visit
    from tests.server import GatewayServer

PATH = "/portal/subscription"


def bars(page: Page) -> int:
    """All that the chart shows."""
    values = page.locator("#chart [data-value]").evaluate_all("(bars) => bars.map((bar) => +bar.dataset.value)")
    assert len(values) == 14
    return sum(values)


def test_it_shows_the_state_the_limits_and_what_is_left(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(
        server, rate={"calls": 60}, tokensPerMinute=5000, tokenQuota={"amount": 100_000, "period": "month"}
    )
    assert caller.ask().status == 200
    with visit() as person:
        page = person.open(PATH)
        page.fill("#key", caller.key)
        page.click("text=Show my subscription")
        expect(page.locator("#subscription")).to_be_visible()
        assert "active" in page.inner_text("#about")
        limits = page.inner_text("#limits")
        for words in ("60 in any 1 min", "5,000", "100,000, each month", "anew in"):
            assert words in limits
        used = caller.usage()["totalTokens"]
        assert used
        assert f"{100_000 - used:,} of 100,000 left" in limits
        assert re.search(r"59 of 60 left, one more in (1 min|\d+ s)", limits)
        page.click("text=Forget the key")
        expect(page.locator("#subscription")).to_be_hidden()
        assert page.evaluate("sessionStorage.length") == 0


def test_the_chart_moves_with_a_call_and_its_table_says_the_same(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    with visit(key=caller.key) as person:
        page = person.open(PATH)
        expect(page.locator("#subscription")).to_be_visible()
        assert bars(page) == 0
        assert caller.ask().status == 200
        page.click("#refresh")
        used = caller.usage()
        expect(page.locator("#chart svg")).to_have_attribute("aria-label", re.compile(f"^{used['totalTokens']} tokens"))
        assert bars(page) == used["totalTokens"]
        page.select_option("#measure", "calls")
        assert bars(page) == used["calls"] == 1
        page.click("#usage-details summary")
        cells = page.locator("#usage-table tbody td:last-child").all_inner_texts()
        assert sum(int(cell.replace(",", "")) for cell in cells) == used["totalTokens"]


def test_a_replaced_key_is_shown_once_and_the_old_one_is_refused(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    with visit(key=caller.key) as person:
        page = person.open(PATH)
        page.click("[data-rotate=primary]")
        expect(page.locator("#confirm-yes")).to_be_focused()
        page.click("#confirm-no")
        expect(page.locator("[data-rotate=primary]")).to_be_focused()
        assert caller.ask().status == 200
        page.click("[data-rotate=primary]")
        page.click("#confirm-yes")
        expect(page.locator("#new-key")).to_be_visible()
        new = page.input_value("#new-key-value")
        page.click("#new-key-copy")
        assert page.evaluate("navigator.clipboard.readText()") == new
        assert caller.ask().status == 401
        assert server.post("/get-data", {"prompt": "Hello"}, Ocp_Apim_Subscription_Key=new).status == 200
        assert page.input_value("#key") == new  # the tab goes on with it
        person.open(PATH)
        expect(page.locator("#subscription")).to_be_visible()
        expect(page.locator("#new-key")).to_be_hidden()


def test_replacing_the_other_key_leaves_the_own_one(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    with visit(key=caller.key) as person:
        page = person.open(PATH)
        page.click("[data-rotate=secondary]")
        page.click("#confirm-yes")
        expect(page.locator("#new-key")).to_be_visible()
        new = page.input_value("#new-key-value")
        assert page.input_value("#key") == caller.key
        for key in (caller.key, new):
            assert server.post("/get-data", {"prompt": "Hello"}, Ocp_Apim_Subscription_Key=key).status == 200


def test_a_key_that_is_refused_is_told(visit: Visit) -> None:
    with visit(key="0" * 32, failures={401}) as person:
        page = person.open(PATH)
        expect(page.locator("#problem")).to_contain_text("Make sure to provide a valid key")
        expect(page.locator("#subscription")).to_be_hidden()
