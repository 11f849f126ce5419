"""Who may manage: who has the admin token, where there is one, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.management.conftest import ACME, GOLD, TOKEN, Admin, body_of, make_api

if TYPE_CHECKING:
    from gateway.store import Store
    from tests.http.conftest import Log, Reply
    from tests.store.conftest import Clock

OPERATIONS = [
    ("GET", "/management/subscriptions"),
    ("GET", "/management/products"),
    *[(method, path) for method in ("GET", "PUT", "PATCH", "DELETE") for path in (ACME, GOLD)],
    ("POST", f"{ACME}/regeneratePrimaryKey"),
    ("POST", f"{ACME}/regenerateSecondaryKey"),
]


def assert_denied(reply: Reply) -> None:
    message = reply.assert_error(401, "Authorization")["message"]
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in message


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_the_token_every_operation_is_denied_and_changes_nothing(admin: Admin, method: str, path: str) -> None:
    key = str(admin.subscribe()["primaryKey"])
    before = admin.get(ACME).headers["ETag"]
    body = body_of(displayName="Changed", scope="/apis")
    for headers in (
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer x"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"Authorization": "Bearer \u00e9"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "", "api-key": TOKEN},
    ):
        assert_denied(admin.send(method, path, body, {"If-Match": "*", **headers}))
    assert admin.get(ACME).headers["ETag"] == before
    assert admin.call(key) == 200


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_subscription_key_is_no_admin_token_wherever_it_is_sent(admin: Admin, method: str, path: str) -> None:
    key = str(admin.subscribe()["primaryKey"])
    stranger = Admin(admin.api, admin.clock, token=None)
    for headers in ({"Authorization": f"Bearer {key}"}, {"Ocp-Apim-Subscription-Key": key}, {"api-key": key}):
        assert_denied(stranger.send(method, path, headers={"If-Match": "*", **headers}))
    assert_denied(stranger.send(method, f"{path}?subscription-key={key}", headers={"If-Match": "*"}))


def test_the_admin_token_is_no_subscription_key(admin: Admin) -> None:
    assert admin.call(TOKEN) == 401


def test_without_the_token_a_caller_learns_nothing_about_the_body_or_what_there_is(admin: Admin) -> None:
    stranger = Admin(admin.api, admin.clock, token=None)
    for path in (ACME, "/management/products/starter", "/management/products/none"):
        assert_denied(stranger.send("PUT", path, b"{"))
        assert_denied(stranger.send("PATCH", path, b"{"))


@pytest.mark.parametrize(
    ("method", "path"), [*OPERATIONS, ("POST", "/management/subscriptions"), ("OPTIONS", ACME), ("GET", "/management")]
)
def test_without_a_configured_token_management_is_like_any_unknown_path(
    store: Store, clock: Clock, method: str, path: str
) -> None:
    api = make_api(store, clock, None)
    unknown = api.open(method, "/nowhere").assert_error(404)
    reply = api.open(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.assert_error(404)["message"] == unknown["message"]
    assert "WWW-Authenticate" not in reply.headers
    assert "Allow" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", ACME, {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("POST", GOLD, {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
        ("DELETE", "/management/subscriptions", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/management/products", {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"{ACME}/regeneratePrimaryKey", {"POST", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_told_with_those_that_there_are(
    admin: Admin, method: str, path: str, allowed: set[str]
) -> None:
    reply = admin.send(method, path)
    reply.assert_error(405, "Allow")
    assert set(reply.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/management", "/management/", "/management/users", f"{ACME}/listSecrets"])
def test_a_path_that_management_does_not_have_is_unknown(admin: Admin, path: str) -> None:
    admin.send("GET", path).assert_error(404, "There is no such operation.")


def test_a_browser_may_ask_what_it_may_send(admin: Admin) -> None:
    stranger = Admin(admin.api, admin.clock, token=None)
    headers = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, if-match",
    }
    reply = stranger.send("OPTIONS", ACME, headers=headers)
    assert reply.status == 200
    assert "PATCH" in reply.headers["Access-Control-Allow-Methods"]


def test_no_answer_may_be_kept_by_a_cache(admin: Admin) -> None:
    for reply in (admin.put(ACME, displayName="A", scope="/apis"), admin.get(ACME), admin.send("GET", GOLD)):
        assert reply.headers["Cache-Control"] == "no-store"


def test_the_log_names_the_operation_and_holds_no_token_no_key_and_no_path(admin: Admin, log: Log) -> None:
    made = admin.subscribe()
    admin.send("POST", f"{ACME}/regeneratePrimaryKey")
    admin.send("GET", "/management/subscriptions/canary-in-a-path")
    admin.send("PATCH", ACME, b'{"canary-in-a-body": 1}', {"If-Match": "*"})
    admin.send("GET", ACME, headers={"Authorization": "Bearer canary-token"})
    assert [(line["operation"], line["status"], line.get("error")) for line in log.lines] == [
        ("put subscription", 201, None),
        ("regenerate primary key", 200, None),
        ("get subscription", 404, "NotFoundError"),
        ("patch subscription", 400, "InvalidRequestError"),
        ("get subscription", 401, "AdminTokenError"),
    ]
    for secret in (TOKEN, made["primaryKey"], made["secondaryKey"], "canary"):
        assert secret not in log.text
