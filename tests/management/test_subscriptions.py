"""Subscriptions as resources."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.management.conftest import ACME, Admin, body_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.subscription import Issued
    from tests.http.conftest import Reply

KEY = "0123456789abcdef0123456789abcdef"
OTHER = KEY[::-1]
LISTED = re.compile(rb"[0-9a-f]{32}")


def keys_in(reply: Reply) -> int:
    """How many things in an answer's body look like keys."""
    return len(LISTED.findall(reply.body))


def test_a_put_makes_a_subscription_and_shows_its_keys_this_once(admin: Admin) -> None:
    reply = admin.put(ACME, displayName="Acme Inc.", scope="/products/starter", state="active")
    properties = reply.json["properties"]
    assert reply.status == 201
    assert {name: value for name, value in reply.json.items() if name != "properties"} == {
        "id": "/subscriptions/acme",
        "type": "Microsoft.ApiManagement/service/subscriptions",
        "name": "acme",
    }
    keys = [properties.pop("primaryKey"), properties.pop("secondaryKey")]
    assert properties == {
        "displayName": "Acme Inc.",
        "scope": "/products/starter",
        "state": "active",
        "createdDate": "2030-01-01T12:00:00Z",
        "startDate": "2030-01-01T12:00:00Z",
        "expirationDate": None,
        "endDate": None,
    }
    assert [admin.call(key) for key in keys] == [200, 200]
    shown = admin.get(ACME)
    assert shown.json == {**reply.json, "properties": properties}
    assert shown.headers["ETag"] == reply.headers["ETag"]
    again = admin.put(ACME, displayName="Acme Inc.", scope="/products/starter")
    listed = admin.get("/management/subscriptions")
    changed = admin.patch(ACME, displayName="Acme")
    assert [keys_in(one) for one in (reply, shown, again, listed, changed)] == [2, 0, 0, 0, 0]


def test_keys_may_be_given(admin: Admin) -> None:
    made = admin.subscribe(primaryKey=KEY, secondaryKey=OTHER)
    assert (made["primaryKey"], made["secondaryKey"]) == (KEY, OTHER)
    assert [admin.call(key) for key in (KEY, OTHER)] == [200, 200]


def test_a_new_subscription_is_submitted_unless_a_state_is_given(admin: Admin) -> None:
    made = admin.put(ACME, displayName="Acme", scope="/apis").json["properties"]
    assert (made["state"], made["startDate"]) == ("submitted", None)
    assert admin.call(made["primaryKey"]) == 401
    assert admin.patch(ACME, state="active").json["properties"]["startDate"] == "2030-01-01T12:00:00Z"
    assert admin.call(made["primaryKey"]) == 200


def test_a_second_put_replaces_what_is_said_and_keeps_keys_state_and_start(admin: Admin) -> None:
    made = admin.subscribe(expirationDate="2031-01-01T00:00:00Z")
    admin.clock.advance(days=1)
    reply = admin.put(ACME, displayName="New", scope="/apis")
    assert reply.status == 200
    assert reply.json["properties"] == {
        "displayName": "New",
        "scope": "/apis",
        "state": "active",
        "createdDate": "2030-01-01T12:00:00Z",
        "startDate": "2030-01-01T12:00:00Z",
        "expirationDate": None,
        "endDate": None,
    }
    assert admin.call(made["primaryKey"]) == 200


def test_a_put_may_give_an_old_subscription_a_new_key(admin: Admin) -> None:
    made = admin.subscribe()
    reply = admin.put(ACME, displayName="Acme", scope="/apis", secondaryKey=KEY)
    assert (reply.status, keys_in(reply)) == (200, 0)
    assert [admin.call(key) for key in (made["primaryKey"], made["secondaryKey"], KEY)] == [200, 401, 200]


def test_what_was_read_can_be_changed_and_sent_back_whole(admin: Admin) -> None:
    admin.subscribe(expirationDate="2031-01-01T00:00:00Z")
    read = admin.get(ACME)
    document = read.json
    document["properties"]["displayName"] = "Renamed"
    reply = admin.send("PUT", ACME, document, {"If-Match": read.headers["ETag"]})
    assert reply.status == 200, reply.body
    assert reply.json == document


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"displayName": "New"}, {"displayName": "New"}),
        ({"scope": "/apis"}, {"scope": "/apis"}),
        ({"startDate": "2030-02-01T00:00:00+01:00"}, {"startDate": "2030-01-31T23:00:00Z"}),
        ({"startDate": None}, {"startDate": None}),
        ({"expirationDate": None}, {"expirationDate": None}),
        ({"state": "suspended"}, {"state": "suspended"}),
        ({"state": "cancelled"}, {"state": "cancelled", "endDate": "2030-01-01T12:00:00Z"}),
        ({}, {}),
    ],
)
def test_a_patch_changes_what_is_given_and_nothing_else(
    admin: Admin, changes: dict[str, object], after: dict[str, object]
) -> None:
    admin.subscribe(expirationDate="2031-01-01T00:00:00Z")
    before = admin.get(ACME)
    reply = admin.patch(ACME, before.headers["ETag"], **changes)
    assert reply.status == 200, reply.body
    assert reply.json["properties"] == {**before.json["properties"], **after}
    assert reply.headers["ETag"] != before.headers["ETag"]
    assert admin.get(ACME).json == reply.json


def test_a_suspended_subscription_is_denied_until_it_is_active_again(admin: Admin) -> None:
    key = admin.subscribe()["primaryKey"]
    assert admin.call(key) == 200
    assert admin.patch(ACME, state="suspended").status == 200
    assert admin.call(key) == 401
    assert admin.patch(ACME, state="active").status == 200
    assert admin.call(key) == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_state_that_may_not_follow_is_a_conflict_and_changes_nothing(admin: Admin, method: str) -> None:
    admin.subscribe(state="cancelled")
    before = admin.get(ACME)
    body = body_of(displayName="New", scope="/apis", state="active")
    admin.send(method, ACME, body, {"If-Match": "*"}).assert_error(409, "cancelled", "Create a new one")
    assert (admin.get(ACME).json, admin.get(ACME).headers["ETag"]) == (before.json, before.headers["ETag"])


def test_the_dates_are_enforced_and_a_later_one_makes_it_active_again(admin: Admin) -> None:
    key = admin.subscribe(startDate="2030-01-02T00:00:00Z", expirationDate="2030-01-03T00:00:00Z")["primaryKey"]
    assert admin.call(key) == 401
    admin.clock.advance(days=1)
    assert admin.call(key) == 200
    admin.clock.advance(days=1)
    assert admin.call(key) == 401
    expired = admin.get(ACME).json["properties"]
    assert (expired["state"], expired["endDate"]) == ("expired", "2030-01-03T00:00:00Z")
    admin.patch(ACME, state="active").assert_error(409, "later date")
    assert admin.patch(ACME, displayName="Its name may change").json["properties"]["state"] == "expired"
    assert admin.patch(ACME, state="active", expirationDate="2030-02-01T00:00:00Z").status == 200
    assert admin.call(key) == 200


def test_a_later_date_alone_lets_it_call_again_unless_it_is_said_to_be_expired(admin: Admin) -> None:
    key = admin.subscribe(expirationDate="2030-01-02T00:00:00Z")["primaryKey"]
    admin.clock.advance(days=2)
    stays = admin.patch(ACME, state="expired", expirationDate="2030-02-01T00:00:00Z").json["properties"]
    assert (stays["state"], stays["endDate"], admin.call(key)) == ("expired", "2030-01-02T00:00:00Z", 401)
    assert admin.patch(ACME, state="active").status == 200
    assert admin.call(key) == 200


@pytest.mark.parametrize(("method", "path"), [("POST", f"{ACME}/regeneratePrimaryKey"), ("DELETE", ACME)])
def test_a_request_that_did_not_arrive_whole_changes_nothing(admin: Admin, method: str, path: str) -> None:
    """Nobody may be there any more to be told a new key."""
    key = admin.subscribe()["primaryKey"]
    headers = {"Authorization": f"Bearer {admin.token}", "If-Match": "*"}
    reply = admin.api.open(method, path, body=b"{", headers=headers, environ={"CONTENT_LENGTH": "50"})
    reply.assert_error(400, "shorter than its Content-Length")
    assert admin.call(key) == 200


@pytest.mark.parametrize("slot", ["primary", "secondary"])
def test_a_regenerated_key_is_shown_once_and_the_old_one_is_void_at_once(admin: Admin, slot: str) -> None:
    made = admin.subscribe()
    old, kept = made[f"{slot}Key"], made["secondaryKey" if slot == "primary" else "primaryKey"]
    before = admin.get(ACME).headers["ETag"]
    reply = admin.send("POST", f"{ACME}/regenerate{slot.capitalize()}Key")
    assert reply.status == 200
    assert list(reply.json) == [f"{slot}Key"]
    new = reply.json[f"{slot}Key"]
    assert [admin.call(key) for key in (new, kept, old)] == [200, 200, 401]
    assert keys_in(admin.get(ACME)) == 0
    assert admin.get(ACME).headers["ETag"] != before


def test_a_deleted_subscription_is_gone_and_its_keys_are_void_at_once(admin: Admin) -> None:
    made = admin.subscribe()
    etag = admin.get(ACME).headers["ETag"]
    reply = admin.delete(ACME, etag)
    assert (reply.status, reply.body) == (204, b"")
    assert [admin.call(made[name]) for name in ("primaryKey", "secondaryKey")] == [401, 401]
    admin.send("GET", ACME).assert_error(404, "acme")
    admin.delete(ACME).assert_error(404, "acme")
    admin.subscribe(primaryKey=made["primaryKey"])
    assert admin.get(ACME).headers["ETag"] != etag


def test_what_is_not_there_cannot_be_changed(admin: Admin) -> None:
    for path in (ACME, "/management/subscriptions/%00", "/management/subscriptions/" + "a" * 5000):
        admin.send("GET", path).assert_error(404, "There is no subscription")
        admin.patch(path, displayName="A").assert_error(404)
        admin.delete(path).assert_error(404)
        admin.send("POST", f"{path}/regeneratePrimaryKey").assert_error(404)


@pytest.mark.parametrize("sid", ["%00", "a%20b", "-a", "a" * 81, "%C3%A9", ".."])
def test_an_id_that_cannot_be_one_is_refused(admin: Admin, sid: str) -> None:
    reply = admin.put(f"/management/subscriptions/{sid}", displayName="A", scope="/apis")
    reply.assert_error(400, "The id of a subscription")


def test_a_key_in_use_is_a_conflict_that_does_not_say_whose_it_is(admin: Admin) -> None:
    made = admin.subscribe("/management/subscriptions/first")
    taken = made["primaryKey"]
    for _ in range(2):
        reply = admin.put(ACME, displayName="Acme", scope="/apis", secondaryKey=taken)
        assert "first" not in reply.assert_error(409, "in use already")["message"]
        assert taken.encode() not in reply.body
        if admin.send("GET", ACME).status == 404:
            admin.subscribe()


GOOD = {"displayName": "Acme", "scope": "/products/starter"}
MALFORMED: list[tuple[Callable[[], Any], str]] = [
    (lambda: b"", "empty"),
    (lambda: b"{", "JSON"),
    (lambda: b"[]", "not an object"),
    (lambda: b'{"properties": {}, "properties": {}}', "`properties`"),
    (dict, "`properties` is required"),
    (lambda: {"properties": None}, "`properties`"),
    (lambda: {"properties": []}, "`properties`"),
    (lambda: {"properties": GOOD, "etag": "x"}, "`etag`"),
    (lambda: {"properties": GOOD, "name": "other"}, "`name`"),
    (lambda: {"properties": GOOD, "id": "/subscriptions/other"}, "`id`"),
    (lambda: {"properties": GOOD, "type": "x"}, "`type`"),
    (lambda: body_of(**GOOD, dispalyName="A"), "Did you mean `properties.displayName`?"),
    (lambda: body_of(**{**GOOD, "displayName": None}), "`properties.displayName`"),
    (lambda: body_of(**{**GOOD, "displayName": 1}), "`properties.displayName`"),
    (lambda: body_of(**{**GOOD, "displayName": " "}), "`properties.displayName`"),
    (lambda: body_of(**{**GOOD, "displayName": "x" * 101}), "`properties.displayName`"),
    (lambda: body_of(**{**GOOD, "scope": "starter"}), "`properties.scope`"),
    (lambda: body_of(**{**GOOD, "scope": "/apis/echo"}), "`properties.scope`"),
    (lambda: body_of(**{**GOOD, "scope": "/products/"}), "`properties.scope`"),
    (lambda: body_of(**{**GOOD, "scope": 1}), "`properties.scope`"),
    (lambda: body_of(**{**GOOD, "scope": "/products/none"}), "`properties.scope`"),
    (lambda: body_of(**{**GOOD, "scope": "/products/\0"}), "`properties.scope`"),
    (lambda: body_of(**GOOD, state="Active"), "`properties.state`"),
    (lambda: body_of(**GOOD, state=None), "`properties.state`"),
    (lambda: body_of(**GOOD, startDate="tomorrow"), "`properties.startDate`"),
    (lambda: body_of(**GOOD, startDate=1893456000), "`properties.startDate`"),
    (lambda: body_of(**GOOD, startDate="2031-01-01T00:00:00"), "`properties.startDate`"),
    (lambda: body_of(**GOOD, expirationDate="2031-01-01"), "`properties.expirationDate`"),
    (lambda: body_of(**GOOD, expirationDate="9999-12-31T23:59:59-01:00"), "`properties.expirationDate`"),
    (lambda: body_of(**GOOD, expirationDate="2030-01-01T12:00:00Z"), "`properties.expirationDate`"),
    (
        lambda: body_of(**GOOD, startDate="2032-01-01T00:00:00Z", expirationDate="2031-01-01T00:00:00Z"),
        "`properties.expirationDate`",
    ),
    (lambda: body_of(**GOOD, createdDate="2030-01-01T00:00:00Z"), "`properties.createdDate`"),
    (lambda: body_of(**GOOD, endDate="2030-01-01T00:00:00Z"), "`properties.endDate`"),
]


@pytest.mark.parametrize(("method", "exists"), [("PUT", False), ("PUT", True), ("PATCH", True)])
@pytest.mark.parametrize(("body", "words"), MALFORMED)
def test_a_malformed_body_is_refused_by_the_name_of_the_field(
    admin: Admin, body: Callable[[], Any], words: str, method: str, *, exists: bool
) -> None:
    if exists:
        admin.subscribe()
    before = admin.send("GET", ACME)
    admin.send(method, ACME, body(), {"If-Match": "*"} if exists else {}).assert_error(400, words)
    after = admin.send("GET", ACME)
    assert (after.status, after.headers.get("ETag")) == (before.status, before.headers.get("ETag"))


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"primaryKey": "short"}, "`properties.primaryKey`"),
        ({"primaryKey": KEY.upper()}, "`properties.primaryKey`"),
        ({"primaryKey": None}, "`properties.primaryKey`"),
        ({"secondaryKey": 1}, "`properties.secondaryKey`"),
        ({"primaryKey": KEY, "secondaryKey": KEY}, "`properties.secondaryKey`"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_key_that_cannot_be_one_is_refused(
    admin: Admin, properties: dict[str, object], words: str, *, exists: bool
) -> None:
    if exists:
        admin.subscribe()
    reply = admin.put(ACME, **GOOD, **properties)
    reply.assert_error(400, words)
    assert KEY.encode() not in reply.body.lower()


@pytest.mark.parametrize("missing", ["displayName", "scope"])
def test_a_put_needs_a_name_and_a_scope(admin: Admin, missing: str) -> None:
    properties = {name: value for name, value in GOOD.items() if name != missing}
    admin.put(ACME, **properties).assert_error(400, f"`properties.{missing}` is required")


def test_a_patch_takes_no_keys(admin: Admin) -> None:
    admin.subscribe()
    admin.patch(ACME, primaryKey=KEY).assert_error(400, "`properties.primaryKey`")


def test_a_body_of_another_type_is_refused(admin: Admin) -> None:
    body = json.dumps(body_of(**GOOD)).encode()
    admin.send("PUT", ACME, body, {"Content-Type": "text/plain"}).assert_error(415, "application/json")


def test_a_list_goes_on_by_its_links_to_the_end(admin: Admin) -> None:
    names = [f"s{number}" for number in range(7)]
    for name in names:
        admin.clock.advance(seconds=1)
        admin.subscribe(f"/management/subscriptions/{name}", displayName=name)
    found, path, pages = [], "/management/subscriptions?$top=3", 0
    while path:
        page = admin.get(path.removeprefix("http://localhost")).json
        assert page["count"] == 7
        found += [one["name"] for one in page["value"]]
        path, pages = page.get("nextLink", ""), pages + 1
    assert (found, pages) == (names, 3)


def test_a_list_may_be_entered_anywhere(admin: Admin) -> None:
    assert admin.get("/management/subscriptions").json == {"value": [], "count": 0}
    admin.subscribe()
    assert admin.get("/management/subscriptions").json == {"value": [admin.get(ACME).json], "count": 1}
    assert admin.get("/management/subscriptions?$skip=1").json == {"value": [], "count": 1}
    assert admin.get("/management/subscriptions?%24top=1&api-version=2022-08-01").json["count"] == 1


@pytest.mark.parametrize(
    "query",
    ["$top=0", "$top=-1", "$top=x", "$top=", "$top=1001", "$top=1&$top=2", "$top=%D9%A1", "$skip=-1", "$skip=1e3"],
)
@pytest.mark.parametrize("kind", ["subscriptions", "products"])
def test_a_page_that_cannot_be_is_refused_by_the_parameter(admin: Admin, kind: str, query: str) -> None:
    admin.send("GET", f"/management/{kind}?{query}").assert_error(400, f"`{query.partition('=')[0]}`")


def test_a_filter_is_refused_rather_than_passed_over(admin: Admin) -> None:
    admin.send("GET", "/management/subscriptions?$filter=state eq 'active'").assert_error(400, "`$filter`")


def test_two_writers_do_not_undo_each_other(admin: Admin) -> None:
    admin.subscribe()
    seen_by_both = admin.get(ACME).headers["ETag"]
    assert admin.patch(ACME, seen_by_both, displayName="First").status == 200
    for method in ("PUT", "PATCH", "DELETE"):
        reply = admin.send(method, ACME, body_of(**GOOD), {"If-Match": seen_by_both})
        reply.assert_error(412, "Read it again")
    now = admin.get(ACME)
    assert now.json["properties"]["displayName"] == "First"
    assert admin.patch(ACME, now.headers["ETag"], displayName="Second").status == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"If-Match": ""}, {"If-Match": " "}])
def test_a_change_needs_if_match(admin: Admin, method: str, headers: dict[str, str]) -> None:
    admin.subscribe()
    admin.send(method, ACME, body_of(displayName="A"), headers).assert_error(400, "If-Match")
    assert admin.get(ACME).json["properties"]["displayName"] == "Acme"


def test_if_match_is_compared_exactly(admin: Admin) -> None:
    admin.subscribe()
    etag = admin.get(ACME).headers["ETag"]
    assert re.fullmatch(r'"[0-9]+"', etag)
    for wrong in (f"W/{etag}", '"1"', '""', "x", f'"{etag[1:-1]}0"'):
        admin.patch(ACME, wrong, displayName="A").assert_error(412)
    assert admin.patch(ACME, f'"1", {etag}', displayName="A").status == 200


def test_a_put_may_ask_that_there_be_one_or_none(admin: Admin) -> None:
    admin.send("PUT", ACME, body_of(**GOOD), {"If-Match": "*"}).assert_error(412, "There is no subscription 'acme'")
    assert admin.send("PUT", ACME, body_of(**GOOD), {"If-None-Match": "*"}).status == 201
    admin.send("PUT", ACME, body_of(**GOOD), {"If-None-Match": "*"}).assert_error(412)
    assert admin.send("PUT", ACME, body_of(**GOOD), {"If-Match": "*"}).status == 200


@pytest.mark.parametrize(("headers", "status"), [({}, 200), ({"If-None-Match": "*"}, 412)])
@pytest.mark.parametrize("keys", [{}, {"primaryKey": "0" * 32}])
def test_a_put_that_comes_too_late_to_make_one_is_a_put_on_what_is_there(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], status: int, keys: dict[str, str]
) -> None:
    create = admin.api.subscriptions.create

    def create_as_second(*args: Any, **fields: Any) -> Issued:
        create(*args, **fields)
        return create(*args, **fields)

    monkeypatch.setattr(admin.api.subscriptions, "create", create_as_second)
    reply = admin.send("PUT", ACME, body_of(**GOOD, **keys), headers)
    assert reply.status == status
    assert b"primaryKey" not in reply.body


def test_head_tells_the_etag(admin: Admin) -> None:
    admin.subscribe()
    reply = admin.send("HEAD", ACME)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["ETag"] == admin.get(ACME).headers["ETag"]
