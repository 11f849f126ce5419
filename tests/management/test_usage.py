"""`GET /management/usage`: what was used, for the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.factory import create_app
from gateway.engines.scripted import Script, ScriptedEngine
from gateway.keys import KeyHasher
from gateway.subscriptions import Subscriptions
from tests.gateways import PEPPER, make_gateway, make_services
from tests.http.conftest import CONTEXT_LENGTH, MAX_BODY_BYTES, Api
from tests.http.conftest import Clock as Monotonic
from tests.management.conftest import TOKEN, Admin

if TYPE_CHECKING:
    from gateway.store import Store
    from tests.store.conftest import Clock


@pytest.fixture
def admin(store: Store, clock: Clock) -> Admin:
    """Two subscriptions of two products have called, on two days: 2030-01-01 at noon and the day after."""
    engine = ScriptedEngine(lambda _prompt: Script("four"), context_length=CONTEXT_LENGTH)
    subscriptions = Subscriptions(store, KeyHasher(PEPPER), clock)
    services = make_services(make_gateway(engine, store, clock=clock), subscriptions, store)
    app = create_app(services, max_body_bytes=MAX_BODY_BYTES, admin_token=TOKEN)
    admin = Admin(Api(app, engine, Monotonic(), store, subscriptions, ""), clock)
    keys = {sid: subscriptions.create(sid, pid, sid=sid).primary_key for sid, pid in SUBSCRIBED.items()}
    admin.call(keys["ada"])
    admin.call(keys["bob"])
    clock.advance(days=1)
    admin.call(keys["ada"])
    admin.api.open("POST", "/get-data", body=b"no JSON", headers={"Content-Type": "application/json"}, key=keys["ada"])
    return admin


SUBSCRIBED = {"ada": "starter", "bob": "unlimited"}


def sums(admin: Admin, query: str = "") -> list[tuple[Any, ...]]:
    """What the sums have in common, their calls, and their tokens."""
    found = admin.get(f"/management/usage{query}").json
    figures = {"failedCalls", "promptTokens", "cachedTokens", "completionTokens", "deliveredTokens"}
    assert found["count"] == len(found["value"])
    return [tuple(value for name, value in one.items() if name not in figures) for one in found["value"]]


def test_usage_is_summed_by_day_subscription_product_and_model(admin: Admin) -> None:
    assert sums(admin) == [
        ("2030-01-01", "ada", "starter", "scripted", 1, 5),
        ("2030-01-01", "bob", "unlimited", "scripted", 1, 5),
        ("2030-01-02", "ada", "starter", None, 1, 0),
        ("2030-01-02", "ada", "starter", "scripted", 1, 5),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?by=day", [("2030-01-01", 2, 10), ("2030-01-02", 2, 5)]),
        ("?by=subscription", [("ada", 3, 10), ("bob", 1, 5)]),
        ("?by=product", [("starter", 3, 10), ("unlimited", 1, 5)]),
        ("?by=model", [(None, 1, 0), ("scripted", 3, 15)]),
        ("?by=operation", [("Get Data", 4, 15)]),
        ("?by=subscription,day&subscription=ada", [("ada", "2030-01-01", 1, 5), ("ada", "2030-01-02", 2, 5)]),
        ("?by=day&product=unlimited", [("2030-01-01", 1, 5)]),
        ("?by=day&model=scripted&since=2030-01-02", [("2030-01-02", 1, 5)]),
        ("?by=day&until=2030-01-01", [("2030-01-01", 2, 10)]),
        ("?by=day&since=2030-01-01T12:00:01Z&until=2030-01-02T12:00:00Z", []),
        ("?by=day&since=2030-01-01T13:00:00%2B01:00&until=2030-01-02T12:00:00Z", [("2030-01-01", 2, 10)]),
        ("?subscription=nobody", []),
    ],
)
def test_usage_can_be_chosen_and_summed_otherwise(admin: Admin, query: str, expected: list[tuple[Any, ...]]) -> None:
    assert sums(admin, query) == expected


def test_all_together_is_told_too(admin: Admin) -> None:
    assert admin.get("/management/usage").json["total"] == {
        "calls": 4,
        "failedCalls": 1,
        "promptTokens": 3,
        "cachedTokens": 0,
        "completionTokens": 12,
        "deliveredTokens": 12,
        "totalTokens": 15,
    }


def test_a_subscription_that_is_gone_keeps_its_usage(admin: Admin) -> None:
    assert admin.delete("/management/subscriptions/bob").status == 204
    assert ("bob", 1, 5) in sums(admin, "?by=subscription")


def test_who_gets_a_deleted_ones_id_has_used_nothing_and_the_operator_still_sees_all(admin: Admin) -> None:
    bob, salt = "/management/subscriptions/bob", admin.api.engine.terms[1].cache_salt
    assert admin.delete(bob).status == 204
    key = admin.subscribe(bob, displayName="Bob", scope="/products/unlimited")["primaryKey"]
    assert admin.api.open("GET", "/me/usage", key=key).json["total"]["calls"] == 0
    assert admin.call(key) == 200
    assert admin.api.open("GET", "/me/usage", key=key).json["total"]["totalTokens"] == 5
    assert ("bob", 2, 10) in sums(admin, "?by=subscription")
    assert admin.api.engine.terms[-1].cache_salt != salt


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?subscripton=ada", "`subscripton`"),
        ("?by=day&by=model", "twice"),
        ("?by=color", "summed by day, subscription, product, model, operation"),
        ("?since=1.1.2030", "`since`"),
        ("?subscription=%00", "`subscription`"),
    ],
)
def test_a_parameter_that_is_at_fault_is_named(admin: Admin, query: str, words: str) -> None:
    admin.send("GET", f"/management/usage{query}").assert_error(400, words)


@pytest.mark.parametrize("token", [None, "another-token-of-the-tests"])
def test_without_the_token_nothing_is_told(admin: Admin, token: str | None) -> None:
    admin.token = token
    admin.send("GET", "/management/usage").assert_error(401)
