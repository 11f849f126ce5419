"""Who may call, and what everybody else learns."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.subscription import State
from tests.http.conftest import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.subscriptions import Subscriptions
    from tests.http.conftest import Api, Reply

MISSING = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
INVALID = "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
CHALLENGE = 'AzureApiManagementKey realm="get-data",name="Ocp-Apim-Subscription-Key",type="header"'
HEADER = "Ocp-Apim-Subscription-Key"
UNKNOWN = secrets.token_hex(16)


def post(
    api: Api,
    path: str = "/get-data",
    *,
    key: str | None = None,
    body: bytes = b'{"prompt": "a"}',
    headers: Mapping[str, str] | None = None,
) -> Reply:
    return api.open("POST", path, body=body, headers={"Content-Type": "application/json", **(headers or {})}, key=key)


def assert_denied(api: Api, reply: Reply, message: str) -> None:
    assert reply.assert_error(401)["message"] == message
    assert reply.headers["WWW-Authenticate"] == CHALLENGE
    assert api.engine.requests == []


@pytest.mark.parametrize("path", ["/get-data", "/System%20Prompt%20Get%20Data"])
def test_no_key_is_denied_in_the_words_of_apim(api: Api, path: str) -> None:
    assert_denied(api, post(api, path), MISSING)


def test_an_empty_key_is_a_missing_one(api: Api) -> None:
    assert_denied(api, post(api, key=""), MISSING)
    assert_denied(api, post(api, "/get-data?subscription-key="), MISSING)


@pytest.mark.parametrize(
    "key",
    [
        UNKNOWN,
        "x",
        " ",
        "0" * 31,
        "0" * 33,
        "g" * 32,
        "\u00e9" * 32,
        "' OR 1=1 --",
        "0" * 5000,
        "**********",
    ],
)
def test_a_key_that_nobody_has_is_denied_in_the_words_of_apim(api: Api, key: str) -> None:
    assert_denied(api, post(api, key=key), INVALID)


def test_a_key_in_another_spelling_is_denied(api: Api) -> None:
    for key in (api.key.upper(), f"{api.key},{api.key}", f"Bearer {api.key}"):
        assert_denied(api, post(api, key=key), INVALID)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_a_subscription_that_is_not_active_is_denied(api: Api, subscriptions: Subscriptions, state: State) -> None:
    issued = subscriptions.create(f"a {state} one", "unlimited", state=state)
    for key in (issued.primary_key, issued.secondary_key):
        assert_denied(api, post(api, key=key), INVALID)


@pytest.mark.parametrize(
    ("starts", "expires"),
    [(timedelta(hours=1), None), (timedelta(days=-2), timedelta(days=-1)), (None, timedelta(seconds=-1))],
)
def test_a_subscription_outside_its_dates_is_denied(
    api: Api, subscriptions: Subscriptions, starts: timedelta | None, expires: timedelta | None
) -> None:
    now = datetime.now(UTC)
    issued = subscriptions.create(
        "dated",
        "unlimited",
        starts_at=None if starts is None else now + starts,
        expires_at=None if expires is None else now + expires,
    )
    assert_denied(api, post(api, key=issued.primary_key), INVALID)


def test_both_keys_serve_and_every_change_counts_at_once(api: Api, subscriptions: Subscriptions) -> None:
    issued = subscriptions.create("changing", "starter")
    sid = issued.subscription.id
    assert post(api, key=issued.primary_key).status == 200
    assert post(api, key=issued.secondary_key).status == 200
    fresh = subscriptions.regenerate(sid, "primary")
    assert post(api, key=issued.primary_key).status == 401
    assert post(api, key=issued.secondary_key).status == 200
    assert post(api, key=fresh).status == 200
    subscriptions.suspend(sid)
    assert post(api, key=fresh).status == 401
    subscriptions.activate(sid)
    assert post(api, key=fresh).status == 200
    subscriptions.cancel(sid)
    assert post(api, key=fresh).status == 401


def test_the_query_parameter_serves_where_there_is_no_header(api: Api) -> None:
    assert post(api, f"/Get%20Data?subscription-key={api.key}").status == 200


def test_the_header_beats_the_query_parameter(api: Api) -> None:
    assert post(api, f"/get-data?subscription-key={UNKNOWN}", key=api.key).status == 200


@pytest.mark.parametrize(("key", "message"), [(UNKNOWN, INVALID), ("x", INVALID), ("", MISSING)])
def test_a_wrong_header_is_not_saved_by_the_query_parameter(api: Api, key: str, message: str) -> None:
    assert_denied(api, post(api, f"/get-data?subscription-key={api.key}", key=key), message)


@pytest.mark.parametrize("name", ["Authorization", "api-key", "subscription-key", "X-Api-Key"])
def test_other_headers_are_no_key_on_get_data(api: Api, name: str) -> None:
    assert_denied(api, post(api, headers={name: f"Bearer {api.key}"}), MISSING)


@pytest.mark.parametrize("key", [None, UNKNOWN])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"[]", {}),
        (b"{", {}),
        (b'{"temprature": 1}', {}),
        (b" " * (MAX_BODY_BYTES + 1), {}),
        (b'{"prompt": "a"}', {"Content-Type": "text/plain"}),
        (b'{"prompt": "a"}', {"Content-Encoding": "gzip"}),
        (b'{"prompt": "a", "model": "none"}', {}),
    ],
)
def test_without_a_valid_key_a_caller_learns_nothing_about_the_body(
    api: Api, key: str | None, body: bytes, headers: dict[str, str]
) -> None:
    assert_denied(api, post(api, key=key, body=body, headers=headers), MISSING if key is None else INVALID)


def test_without_a_valid_key_a_caller_does_not_learn_the_engines_state(api: Api) -> None:
    api.engine.phase = "loading"
    assert_denied(api, post(api, key=UNKNOWN), INVALID)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD"])
def test_an_unknown_path_is_told_before_the_key_is_asked_for(api: Api, method: str) -> None:
    reply = api.open(method, "/no/such/path")
    if method == "HEAD":
        assert (reply.status, reply.body) == (404, b"")
    else:
        reply.assert_error(404, "There is no such operation.")
    assert "WWW-Authenticate" not in reply.headers


@pytest.mark.parametrize("path", ["/Get%20Data", "/system-prompt-get-data/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "post2"])
def test_another_method_is_told_before_the_key_is_asked_for(api: Api, path: str, method: str) -> None:
    reply = api.open(method, path)
    reply.assert_error(405, "Allow")
    assert set(reply.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_head_is_refused_without_a_body(api: Api) -> None:
    reply = api.open("HEAD", "/get-data", key=api.key)
    assert (reply.status, reply.body) == (405, b"")
    assert set(reply.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_need_no_key_and_are_only_read(api: Api, path: str) -> None:
    assert api.get(path).status == 200
    reply = api.open("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")
    reply = api.open("POST", path, key=api.key)
    reply.assert_error(405)
    assert set(reply.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
