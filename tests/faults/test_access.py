"""Row 13: what is another's is 401, 403 or 404 on every route that there is, and so is everything without a key."""

from __future__ import annotations

import http.client
import json
import secrets
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from app.routes import register_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.figures import Figure
    from tests.faults.scripted import Scripted

KEY = "Ocp-Apim-Subscription-Key"
PUBLIC = {"/health/live", "/health/ready", "/metrics", "/openapi.json"}
OWN = "acme"  # whose things they are
IDS = {"<sid>": OWN, "<pid>": "starter", "<path:id>": "scripted", "<path:deployment>": "scripted"}


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every operation, from the app's own map: a new route is among them."""
    app = Flask("every route", static_folder=None)
    register_routes(app, "a token")
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("portal."):
            continue  # pages for everybody, made once and the same for all; what they show of a caller they ask for
        path = rule.rule
        for placeholder, value in IDS.items():
            path = path.replace(placeholder, value)
        assert "<" not in path, f"say in IDS what {path} may have"
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, path


MANAGEMENT = [(method, path) for method, path in routes() if path.startswith("/management")]
ME = [(method, path) for method, path in routes() if path.startswith("/me/")]
CLOSED = [(method, path) for method, path in routes() if path not in PUBLIC]


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    content: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.content)


def ask(gateway: Scripted, method: str, path: str, headers: dict[str, str], body: object = None) -> Reply:
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return Reply(response.status, response.read())


def admin(gateway: Scripted) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.token}"}


@dataclass(frozen=True)
class Subscribed:
    """A subscription and its keys."""

    sid: str
    primary: str
    secondary: str


def subscribe(gateway: Scripted, sid: str, state: str = "active") -> Subscribed:
    properties = {"displayName": f"{sid} Inc.", "scope": "/products/unlimited", "state": state}
    reply = ask(gateway, "PUT", f"/management/subscriptions/{sid}", admin(gateway), {"properties": properties})
    assert reply.status == 201, reply.content
    made = reply.json["properties"]
    return Subscribed(sid, made["primaryKey"], made["secondaryKey"])


@pytest.fixture(scope="module")
def owner(scripted_gateway: Scripted) -> Subscribed:
    """Whose subscription the others try to reach."""
    return subscribe(scripted_gateway, OWN)


@pytest.fixture(scope="module")
def stranger(scripted_gateway: Scripted, owner: Subscribed) -> Subscribed:
    """Another caller, with keys that are good for its own things."""
    assert owner.sid == OWN
    return subscribe(scripted_gateway, "stranger")


@pytest.fixture(scope="module")
def suspended(scripted_gateway: Scripted) -> Subscribed:
    """One that may not call at all."""
    return subscribe(scripted_gateway, "suspended", "suspended")


def everywhere(secret: str) -> list[tuple[str, dict[str, str]]]:
    """A secret in each place where one could try it: a query and headers."""
    basic = b64encode(f"admin:{secret}".encode()).decode()
    return [
        ("", {KEY: secret}),
        ("", {"api-key": secret}),
        ("", {"Authorization": f"Bearer {secret}"}),
        ("", {"Authorization": f"Basic {basic}"}),
        ("", {"Authorization": secret}),
        ("", {"Cookie": f"Authorization={secret}; subscription-key={secret}"}),
        ("", {"Proxy-Authorization": f"Bearer {secret}"}),
        ("", {"X-Forwarded-Authorization": f"Bearer {secret}"}),
        (f"?subscription-key={secret}", {}),
        (f"?access_token={secret}&admin_token={secret}&api-key={secret}", {}),
    ]


def snapshot(gateway: Scripted) -> list[Any]:
    """All subscriptions and products, as the operator sees them."""
    return [ask(gateway, "GET", f"/management/{kind}", admin(gateway)).json for kind in ("subscriptions", "products")]


def test_management_is_closed_to_all_but_the_admin_token(
    scripted_gateway: Scripted, owner: Subscribed, stranger: Subscribed, suspended: Subscribed, figure: Figure
) -> None:
    tries: list[tuple[str, dict[str, str]]] = [("", {})]
    for secret in (stranger.primary, stranger.secondary, owner.primary, suspended.primary, secrets.token_hex(16)):
        tries += everywhere(secret)
    tries += [
        (query, headers)
        for query, headers in everywhere(scripted_gateway.token)
        if headers != admin(scripted_gateway)  # the token where it belongs
    ]
    tries += [("", {"Authorization": f"Bearer {scripted_gateway.token[:-1]}"})]
    tries += [("", {"Authorization": f"Bearer {scripted_gateway.token} {scripted_gateway.token}"})]
    before, found = snapshot(scripted_gateway), []
    for method, path in MANAGEMENT:
        for query, headers in tries:
            body = {"properties": {"displayName": "Taken", "scope": "/products/unlimited", "state": "cancelled"}}
            reply = ask(scripted_gateway, method, path + query, {"If-Match": "*", **headers}, body)
            found.append(reply.status)
            assert not any(secret.encode() in reply.content for secret in (owner.primary, OWN))
    refused = sum(status in {401, 403, 404} for status in found)
    figure(13, f"management: {refused} of {len(found)} tries refused on {len(MANAGEMENT)} operations")
    assert refused == len(found)
    assert snapshot(scripted_gateway) == before


def test_a_callers_own_view_is_closed_to_whoever_has_no_key_of_its_own(
    scripted_gateway: Scripted, owner: Subscribed, suspended: Subscribed, figure: Figure
) -> None:
    tries: list[tuple[str, dict[str, str]]] = [("", {})]
    for secret in (secrets.token_hex(16), scripted_gateway.token, suspended.primary, suspended.secondary):
        tries += everywhere(secret)
    tries += [  # a good key where none is looked for
        (query, headers)
        for query, headers in everywhere(owner.primary)
        if KEY not in headers and not query.startswith("?subscription-key=")
    ]
    found = [
        ask(scripted_gateway, method, path + query, headers, {"key": "primary"}).status
        for method, path in ME
        for query, headers in tries
    ]
    refused = sum(status in {401, 403, 404} for status in found)
    figure(13, f"`/me`: {refused} of {len(found)} on {len(ME)}")
    assert refused == len(found)
    assert ask(scripted_gateway, "GET", "/me/usage", {KEY: owner.primary}).status == 200  # its key is as it was


def test_with_its_own_key_a_caller_reaches_nothing_of_anothers(
    scripted_gateway: Scripted, owner: Subscribed, stranger: Subscribed
) -> None:
    ask(scripted_gateway, "POST", "/get-data", {KEY: owner.primary}, {"prompt": "a"})
    before = ask(scripted_gateway, "GET", "/me/usage", {KEY: owner.primary}).json
    assert before["total"]["calls"] > 0
    for query in ("", f"?subscription={OWN}", f"?sid={OWN}", f"?id={OWN}&subscription-key={owner.primary}"):
        for method, path in ME:
            reply = ask(scripted_gateway, method, path + query, {KEY: stranger.secondary}, {"key": "primary"})
            assert reply.status in {200, 400}, reply.content
            assert OWN.encode() not in reply.content
            if reply.status == 200 and path == "/me/usage" and method == "GET":
                assert reply.json["total"]["calls"] == 0
    for body in ({"key": "primary", "sid": OWN}, {"key": "primary", "subscription": OWN}):
        reply = ask(scripted_gateway, "POST", "/me/regenerateKey", {KEY: stranger.secondary}, body)
        assert reply.status == 400
    for key in (owner.primary, owner.secondary):
        assert ask(scripted_gateway, "GET", "/me/usage", {KEY: key}).json == before


def test_without_a_key_nothing_is_served_but_what_is_public(scripted_gateway: Scripted) -> None:
    for method, path in CLOSED:
        reply = ask(scripted_gateway, method, path, {}, {"prompt": "a"})
        assert reply.status == 401, (method, path)
    for path in PUBLIC:
        assert ask(scripted_gateway, "GET", path, {}).status == 200
