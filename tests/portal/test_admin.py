"""The operator's page in a real browser on the real gateway."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.real.callers import ADMIN_TOKEN, asking, caller_with, manage, put_product, subscriber, usage_of

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
        page.select_option("#make-scope", "/products/unlimited")
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
        expect(page.locator("#subscriptions-problem")).to_contain_text("412")
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
        expect(page.locator("[data-figure=state]")).to_have_text("ready")
        expect(page.locator("[data-figure=cache]")).to_have_text("0%")
        expect(page.locator("[data-figure=tokens]")).to_have_text(re.compile(r"\d+"))
        page.select_option("#whose", caller.sid)
        expect(page.locator("#chart svg")).to_have_attribute("aria-label", re.compile(f"^{used} tokens"))


def test_the_engines_figures_move_with_what_it_does(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    with visit() as person:
        page = enter(person)
        expect(page.locator("[data-figure=running]")).to_have_text("0")
        with asking(caller, 4):
            expect(page.locator("[data-figure=running]")).to_have_text(re.compile(r"[1-4]"))
            expect(page.locator("[data-figure=calls]")).to_have_text(re.compile(r"[1-4]"))
            expect(page.locator("[data-figure=cache]")).not_to_have_text(re.compile("^(0%|\u2013)$"))
            expect(page.locator("[data-figure=tokens]")).to_have_text(re.compile(r"^[1-9][\d,]*$"))
        expect(page.locator("[data-figure=running]")).to_have_text("0")
        expect(page.locator("[data-figure=cache]")).to_have_text("0%")


def test_a_limit_that_is_edited_holds_in_the_next_call(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server, tokenQuota={"amount": 1000, "period": "week"})
    product = caller.sid.rpartition("-")[0]
    assert usage_of(caller.ask(max_tokens=8))["completion_tokens"] == 8
    with visit() as person:
        page = enter(person)
        page.get_by_label(f"Edit: {product}", exact=True).click()
        expect(page.locator("#product-title")).to_have_text(f"Product {product}")
        assert page.input_value("#product-tokenQuota-amount") == "1000"
        assert page.input_value("#product-tokenQuota-period") == "week"
        page.fill("#product-maxTokens", "3")
        page.fill("#product-tokenQuota-amount", "")
        page.press("#product-maxTokens", "Enter")
        expect(page.locator("#product-dialog")).to_be_hidden()
        expect(page.locator("#products")).to_contain_text("Longest answer: 3 tokens")
    assert usage_of(caller.ask(max_tokens=8))["completion_tokens"] == 3
    shown = manage(server, "GET", f"/products/{product}").json["properties"]
    assert (shown["maxTokens"], shown["tokenQuota"]) == (3, None)


def test_a_product_is_made_and_used_and_taken_away_with_its_subscriptions(visit: Visit, server: GatewayServer) -> None:
    name = f"silver-{secrets.token_hex(3)}"
    with visit(failures={400}) as person:
        page = enter(person)
        page.click("#new-product")
        page.fill("#product-displayName", name.capitalize())
        assert page.input_value("#product-id") == name
        page.fill("#product-rate-calls", "1")
        page.click("#product-form button[type=submit]")
        expect(page.locator("#products")).to_contain_text("Calls: 1 in any 1 min")
        caller = subscriber(server, name)
        assert [caller.ask().status for _ in range(2)] == [200, 429]
        page.get_by_label(f"Edit: {name}", exact=True).click()
        delete = page.locator("#delete-product")
        delete.click()
        delete.click()
        expect(page.locator("#product-problem")).to_contain_text("400")
        page.check("#product-subscriptions")
        delete.click()
        delete.click()
        expect(page.locator("#products")).not_to_contain_text(name)
    assert caller.ask().status == 401


def test_a_change_that_somebody_else_made_meanwhile_is_not_written_over(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server, maxTokens=5)
    product = caller.sid.rpartition("-")[0]
    with visit(failures={412}) as person:
        page = enter(person)
        page.get_by_label(f"Edit: {product}", exact=True).click()
        put_product(server, product, maxTokens=6)
        page.fill("#product-maxTokens", "7")
        page.click("#product-form button[type=submit]")
        expect(page.locator("#product-problem")).to_contain_text("412")
        page.click("#product-form .close")
    assert manage(server, "GET", f"/products/{product}").json["properties"]["maxTokens"] == 6


def test_what_is_no_number_is_told_and_not_sent(visit: Visit) -> None:
    with visit() as person:
        page = enter(person)
        page.click("#new-product")
        page.fill("#product-id", "odd")
        page.fill("#product-maxTokens", "2.5")
        page.click("#product-form button[type=submit]")
        expect(page.locator("#product-problem")).to_contain_text("Longest answer, in tokens: a whole number")
        page.keyboard.press("Escape")
        expect(page.locator("#product-dialog")).to_be_hidden()


def test_a_subscription_gets_another_product_state_and_end(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server)
    other = caller_with(server, maxTokens=2).sid.rpartition("-")[0]
    with visit() as person:
        page = enter(person)
        edit = page.get_by_label(f"Edit: {caller.sid}", exact=True)
        edit.click()
        page.fill("#subscription-displayName", "Somebody else")
        page.select_option("#subscription-scope", f"/products/{other}")
        page.fill("#subscription-expires", "2099-12-31T12:30")
        page.click("#subscription-form button[type=submit]")
        expect(page.locator("#subscriptions")).to_contain_text("active, until 2099-12-31 12:30 UTC")
        assert usage_of(caller.ask(max_tokens=8))["completion_tokens"] == 2
        edit.click()
        assert page.input_value("#subscription-expires") == "2099-12-31T12:30"
        page.fill("#subscription-expires", "")
        page.select_option("#subscription-state", "suspended")
        page.click("#subscription-form button[type=submit]")
        expect(page.locator("#subscription-dialog")).to_be_hidden()
        shown = manage(server, "GET", f"/subscriptions/{caller.sid}").json["properties"]
        assert (shown["displayName"], shown["state"], shown["expirationDate"]) == ("Somebody else", "suspended", None)
        assert caller.ask().status == 401
        edit.click()
        page.click("#delete-subscription")
        assert manage(server, "GET", f"/subscriptions/{caller.sid}").status == 200
        page.click("#delete-subscription")
        expect(page.locator("#subscriptions")).not_to_contain_text(caller.sid)
    assert manage(server, "GET", f"/subscriptions/{caller.sid}").status == 404


def test_another_token_is_refused(visit: Visit) -> None:
    with visit(failures={401}) as person:
        page = person.open("/admin")
        page.fill("#token", "not-the-token-of-this-gateway")
        page.click("#enter button[type=submit]")
        expect(page.locator("#problem")).to_contain_text("401")
        expect(page.locator("#operator")).to_be_hidden()
        page.click("#forget")
        assert page.evaluate("sessionStorage.length") == 0
