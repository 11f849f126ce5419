"""The operator's page in a real browser on the real gateway."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.real.callers import ADMIN_TOKEN, caller_with

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.portal.browser import Visitor
    from tests.portal.conftest import Visit
    from tests.server import GatewayServer


def enter(person: Visitor) -> Page:
    """Open the page with the token."""
    page = person.open("/admin")
    page.fill("#token", ADMIN_TOKEN)
    page.click("#enter button[type=submit]")
    expect(page.locator("#operator")).to_be_visible()
    return page


def test_a_subscription_is_made_and_its_keys_are_shown_once(visit: Visit, server: GatewayServer) -> None:
    name = f"grace-{secrets.token_hex(3)}"
    with visit() as person:
        page = enter(person)
        page.fill("#make-name", name.capitalize())
        assert page.input_value("#make-id") == name
        page.select_option("#make-product", "unlimited")
        page.click("#make button")
        expect(page.locator("#new-keys")).to_be_visible()
        keys = [page.get_by_label(f"{which} key", exact=True).input_value() for which in ("Primary", "Secondary")]
        for key in keys:
            assert server.post("/get-data", {"prompt": "Hello"}, Ocp_Apim_Subscription_Key=key).status == 200
        page = person.open("/admin")  # with the token from before
        expect(page.locator("#subscriptions")).to_contain_text(name)
        assert not [key for key in keys if key in page.content()]


def test_a_subscription_that_is_there_is_not_replaced(visit: Visit) -> None:
    with visit(failures={412}) as person:
        page = enter(person)
        page.fill("#make-name", "dev")
        page.click("#make button")
        expect(page.locator("#subscription-problem")).to_contain_text("412")
        expect(page.locator("#new-keys")).to_be_hidden()


def test_suspending_and_new_keys_take_effect_at_once_and_ask_before(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    assert caller.ask().status == 200
    with visit() as person:
        page = enter(person)
        suspend = page.get_by_label(re.compile(f"^Suspend: {caller.sid}"))
        suspend.click()
        assert caller.ask().status == 200
        suspend.click()
        activate = page.get_by_label(re.compile(f"^Activate: {caller.sid}"))
        activate.click()
        assert caller.ask().status == 401
        activate.click()
        expect(page.get_by_label(re.compile(f"^Suspend: {caller.sid}"))).to_be_visible()
        assert caller.ask().status == 200
        new = page.get_by_label(re.compile(f"^New primary key: {caller.sid}"))
        new.click()
        new.click()
        expect(page.locator("#new-keys")).to_be_visible()
        assert caller.ask().status == 401


def test_usage_and_the_engine_are_shown(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server, tokensPerMinute=5000)
    assert caller.ask().status == 200
    used = caller.usage()["totalTokens"]
    with visit() as person:
        page = enter(person)
        assert "Tokens a minute: 5,000" in page.inner_text("#products")
        expect(page.locator("[data-figure=running]")).to_have_text("0")
        expect(page.locator("[data-figure=waiting]")).to_have_text("0")
        expect(page.locator("[data-figure=tokens]")).to_have_text(re.compile(r"\d+"))  # with the second look
        page.select_option("#whose", caller.sid)
        expect(page.locator("#chart svg")).to_have_attribute("aria-label", re.compile(f"^{used} tokens"))


def test_another_token_is_refused(visit: Visit) -> None:
    with visit(failures={401}) as person:
        page = person.open("/admin")
        page.fill("#token", "not-the-token-of-this-gateway")
        page.click("#enter button[type=submit]")
        expect(page.locator("#problem")).to_contain_text("401")
        expect(page.locator("#operator")).to_be_hidden()
        page.click("#forget")
        assert page.evaluate("sessionStorage.length") == 0
