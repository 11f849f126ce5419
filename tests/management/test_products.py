"""Products as resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.management.conftest import ACME, GOLD, Admin, body_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.http.conftest import Reply

STARTER = "/management/products/starter"
NO_LIMITS = {
    "rate": None,
    "callQuota": None,
    "tokensPerMinute": None,
    "tokenQuota": None,
    "maxConcurrency": None,
    "maxTokens": None,
    "models": None,
    "priority": None,
    "sharedCache": False,
}
ALL_LIMITS = {
    "rate": {"calls": 60, "seconds": 30},
    "callQuota": {"amount": 1000, "period": "day"},
    "tokensPerMinute": 5000,
    "tokenQuota": {"amount": 2**53 - 1, "period": "lifetime"},
    "maxConcurrency": 4,
    "maxTokens": 512,
    "models": ["a", "b"],
    "priority": -3,
}


def test_the_starters_are_there_in_the_form_of_apim(admin: Admin) -> None:
    listed = admin.get("/management/products").json
    assert listed["count"] == 2
    assert listed["value"][0] == {
        "id": "/products/starter",
        "type": "Microsoft.ApiManagement/service/products",
        "name": "starter",
        "properties": {
            **NO_LIMITS,
            "displayName": "Starter",
            "rate": {"calls": 5, "seconds": 60},
            "callQuota": {"amount": 100, "period": "week"},
        },
    }
    assert listed["value"][1] == admin.get("/management/products/unlimited").json


def test_a_put_makes_a_product_with_every_limit(admin: Admin) -> None:
    reply = admin.put(GOLD, displayName="Gold", **ALL_LIMITS)
    assert reply.status == 201, reply.body
    assert reply.json["properties"] == {**NO_LIMITS, "displayName": "Gold", **ALL_LIMITS}
    shown = admin.get(GOLD)
    assert (shown.json, shown.headers["ETag"]) == (reply.json, reply.headers["ETag"])


def test_a_second_put_replaces_all_limits(admin: Admin) -> None:
    made = admin.put(GOLD, displayName="Gold", **ALL_LIMITS)
    reply = admin.put(GOLD, displayName="Less", maxTokens=7, rate={"calls": 1}, models=None)
    assert reply.status == 200
    assert reply.json["properties"] == {
        **NO_LIMITS,
        "displayName": "Less",
        "maxTokens": 7,
        "rate": {"calls": 1, "seconds": 60},
    }
    assert reply.headers["ETag"] != made.headers["ETag"]
    assert admin.get(GOLD).json == reply.json


@pytest.mark.parametrize("name", ALL_LIMITS)
def test_a_patch_sets_one_limit_or_lifts_it_with_null(admin: Admin, name: str) -> None:
    def patch(limits: dict[str, Any]) -> Reply:
        return admin.send("PATCH", GOLD, {"properties": limits}, {"If-Match": "*"})

    admin.put(GOLD, displayName="Gold")
    assert patch({name: ALL_LIMITS[name]}).json["properties"] == {
        **NO_LIMITS,
        "displayName": "Gold",
        name: ALL_LIMITS[name],
    }
    patch({other: limit for other, limit in ALL_LIMITS.items() if other != name})
    lifted = patch({name: None})
    assert lifted.json["properties"] == {**NO_LIMITS, "displayName": "Gold", **ALL_LIMITS, name: None}
    assert admin.get(GOLD).json == lifted.json


def test_what_was_read_can_be_changed_and_sent_back_whole(admin: Admin) -> None:
    read = admin.get(STARTER)
    document = read.json
    document["properties"]["maxTokens"] = 9
    reply = admin.send("PUT", STARTER, document, {"If-Match": read.headers["ETag"]})
    assert (reply.status, reply.json) == (200, document)


GOOD = {"displayName": "Gold"}
MALFORMED: list[tuple[Callable[[], Any], str]] = [
    (lambda: b"{}", "`properties` is required"),
    (lambda: body_of(displayName=None), "`properties.displayName`"),
    (lambda: body_of(displayName=""), "`properties.displayName`"),
    (lambda: body_of(**GOOD, description="x"), "`properties.description`"),
    (lambda: body_of(**GOOD, max_tokens=1), "Did you mean `properties.maxTokens`?"),
    (lambda: body_of(**GOOD, name="x"), "`properties.name`"),
    (lambda: {"properties": GOOD, "name": "starter"}, "`name`"),
    (lambda: body_of(**GOOD, rate=5), "`properties.rate`"),
    (lambda: body_of(**GOOD, rate={}), "`properties.rate.calls` is required"),
    (lambda: body_of(**GOOD, rate={"calls": 0}), "`properties.rate.calls`"),
    (lambda: body_of(**GOOD, rate={"calls": 1.5}), "`properties.rate.calls`"),
    (lambda: body_of(**GOOD, rate={"calls": True}), "`properties.rate.calls`"),
    (lambda: body_of(**GOOD, rate={"calls": 1, "seconds": 86_401}), "`properties.rate.seconds`"),
    (lambda: body_of(**GOOD, rate={"calls": 1, "minutes": 1}), "`properties.rate.minutes`"),
    (lambda: body_of(**GOOD, callQuota={"amount": 1}), "`properties.callQuota.period` is required"),
    (lambda: body_of(**GOOD, callQuota={"period": "day"}), "`properties.callQuota.amount` is required"),
    (lambda: body_of(**GOOD, callQuota={"amount": 1, "period": "decade"}), "`properties.callQuota.period`"),
    (lambda: body_of(**GOOD, callQuota={"ammount": 1, "period": "day"}), "`properties.callQuota."),
    (lambda: body_of(**GOOD, tokenQuota={"amount": 2**53, "period": "day"}), "`properties.tokenQuota.amount`"),
    (lambda: body_of(**GOOD, tokensPerMinute="5"), "`properties.tokensPerMinute`"),
    (lambda: body_of(**GOOD, maxConcurrency=-1), "`properties.maxConcurrency`"),
    (lambda: body_of(**GOOD, maxTokens=0), "`properties.maxTokens`"),
    (lambda: body_of(**GOOD, models="a"), "`properties.models` should be a list"),
    (lambda: body_of(**GOOD, models=[]), "`properties.models`"),
    (lambda: body_of(**GOOD, models=[1]), "`properties.models.0`"),
    (lambda: body_of(**GOOD, models=[""]), "`properties.models`"),
    (lambda: body_of(**GOOD, models=["a\0"]), "`properties.models`"),
    (lambda: body_of(**GOOD, priority=2**31), "`properties.priority`"),
]


@pytest.mark.parametrize(("method", "exists"), [("PUT", False), ("PUT", True), ("PATCH", True)])
@pytest.mark.parametrize(("body", "words"), MALFORMED)
def test_a_malformed_body_is_refused_by_the_name_of_the_field(
    admin: Admin, body: Callable[[], Any], words: str, method: str, *, exists: bool
) -> None:
    if exists:
        admin.put(GOLD, displayName="Gold")
    before = admin.send("GET", GOLD)
    admin.send(method, GOLD, body(), {"If-Match": "*"} if exists else {}).assert_error(400, words)
    after = admin.send("GET", GOLD)
    assert (after.status, after.headers.get("ETag")) == (before.status, before.headers.get("ETag"))


def test_a_put_needs_a_name(admin: Admin) -> None:
    admin.put(GOLD, maxTokens=1).assert_error(400, "`properties.displayName` is required")


def test_two_writers_do_not_undo_each_other(admin: Admin) -> None:
    seen_by_both = admin.get(STARTER).headers["ETag"]
    assert admin.patch(STARTER, seen_by_both, maxTokens=1).status == 200
    for method in ("PUT", "PATCH", "DELETE"):
        admin.send(method, STARTER, body_of(**GOOD), {"If-Match": seen_by_both}).assert_error(412, "Read it again")
    assert admin.get(STARTER).json["properties"]["maxTokens"] == 1


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_needs_if_match(admin: Admin, method: str) -> None:
    admin.send(method, STARTER, body_of(displayName="A")).assert_error(400, "If-Match")
    assert admin.get(STARTER).json["properties"]["displayName"] == "Starter"


def test_a_put_may_ask_that_there_be_one_or_none(admin: Admin) -> None:
    admin.send("PUT", GOLD, body_of(**GOOD), {"If-Match": "*"}).assert_error(412, "There is no product 'gold'")
    assert admin.send("PUT", GOLD, body_of(**GOOD), {"If-None-Match": "*"}).status == 201
    admin.send("PUT", GOLD, body_of(**GOOD), {"If-None-Match": "*"}).assert_error(412)


def test_a_product_without_subscriptions_can_be_deleted(admin: Admin) -> None:
    made = admin.put(GOLD, displayName="Gold").headers["ETag"]
    reply = admin.delete(GOLD, made)
    assert (reply.status, reply.body) == (204, b"")
    admin.send("GET", GOLD).assert_error(404, "gold")
    assert admin.put(GOLD, displayName="Gold").headers["ETag"] != made


@pytest.mark.parametrize("query", ["", "?deleteSubscriptions=false"])
def test_a_product_with_subscriptions_stays(admin: Admin, query: str) -> None:
    key = admin.subscribe()["primaryKey"]
    admin.delete(STARTER + query).assert_error(400, "deleteSubscriptions=true")
    assert admin.get(STARTER).status == 200
    assert admin.call(key) == 200


def test_a_product_may_take_its_subscriptions_with_it(admin: Admin) -> None:
    gone = admin.subscribe()["primaryKey"]
    stays = admin.subscribe("/management/subscriptions/other", scope="/products/unlimited")["primaryKey"]
    assert admin.delete(f"{STARTER}?deleteSubscriptions=true").status == 204
    assert [admin.call(key) for key in (gone, stays)] == [401, 200]
    admin.send("GET", ACME).assert_error(404)


def test_what_deletes_subscriptions_is_true_or_false(admin: Admin) -> None:
    admin.delete(f"{STARTER}?deleteSubscriptions=yes").assert_error(400, "`deleteSubscriptions`")
    assert admin.get(STARTER).status == 200


def test_what_is_not_there_cannot_be_changed(admin: Admin) -> None:
    for path in (GOLD, "/management/products/%00", "/management/products/" + "a" * 5000):
        admin.send("GET", path).assert_error(404, "There is no product", "starter, unlimited")
        admin.patch(path, displayName="A").assert_error(404)
        admin.delete(path).assert_error(404)


@pytest.mark.parametrize("pid", ["%00", "a%20b", "-a", "a" * 81, "*"])
def test_an_id_that_cannot_be_one_is_refused(admin: Admin, pid: str) -> None:
    admin.put(f"/management/products/{pid}", displayName="A").assert_error(400, "The id of a product")


def test_a_list_goes_on_by_its_links_to_the_end(admin: Admin) -> None:
    admin.put(GOLD, displayName="Gold")
    first = admin.get("/management/products?$top=2").json
    assert [one["name"] for one in first["value"]] == ["gold", "starter"]
    assert first["nextLink"] == "http://localhost/management/products?$top=2&$skip=2"
    last = admin.get("/management/products?$top=2&$skip=2").json
    assert ([one["name"] for one in last["value"]], last["count"]) == (["unlimited"], 3)
    assert "nextLink" not in last
