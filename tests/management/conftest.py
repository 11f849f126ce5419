"""The real app with an admin token, over a key store of each test's own and a clock that tests set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from app.factory import create_app
from gateway.engines.scripted import ScriptedEngine
from gateway.keys import KeyHasher
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions
from tests.gateways import PEPPER, make_gateway, make_services
from tests.http.conftest import CONTEXT_LENGTH, MAX_BODY_BYTES, REQUEST_TIMEOUT, Api, Reply, log
from tests.http.conftest import Clock as Monotonic
from tests.store.conftest import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["log"]

TOKEN = "an-admin-token-of-the-tests"
ACME = "/management/subscriptions/acme"
GOLD = "/management/products/gold"


def body_of(**properties: object) -> dict[str, object]:
    """A body with these properties."""
    return {"properties": properties}


@dataclass
class Admin:
    """An operator with the admin token, beside a client that may call with keys."""

    api: Api
    clock: Clock
    token: str | None = TOKEN

    def send(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request; what is not bytes already goes as JSON."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token is not None else {}
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        return self.api.open(method, path, body=raw, headers={**sent, **(headers or {})})

    def get(self, path: str) -> Reply:
        """A GET that must succeed."""
        reply = self.send("GET", path)
        assert reply.status == 200, reply.body
        return reply

    def put(self, path: str, **properties: object) -> Reply:
        """A PUT of these properties."""
        return self.send("PUT", path, body_of(**properties))

    def patch(self, path: str, if_match: str = "*", /, **properties: object) -> Reply:
        """A PATCH of these properties."""
        return self.send("PATCH", path, body_of(**properties), {"If-Match": if_match})

    def delete(self, path: str, if_match: str = "*") -> Reply:
        """A DELETE."""
        return self.send("DELETE", path, headers={"If-Match": if_match})

    def subscribe(self, path: str = ACME, **properties: object) -> dict[str, Any]:
        """The properties of a new active subscription, with its keys."""
        wanted = {"displayName": "Acme", "scope": "/products/starter", "state": "active", **properties}
        reply = self.put(path, **wanted)
        assert reply.status == 201, reply.body
        made: dict[str, Any] = reply.json["properties"]
        return made

    def call(self, key: str) -> int:
        """The status that a Get Data request with this key gets."""
        headers = {"Content-Type": "application/json"}
        return self.api.open("POST", "/get-data", body=b'{"prompt": "a"}', headers=headers, key=key).status


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    yield store
    store.close()


def make_api(store: Store, clock: Clock, admin_token: str | None) -> Api:
    """The app over a store, with management where there is a token."""
    engine, monotonic = ScriptedEngine(context_length=CONTEXT_LENGTH), Monotonic()
    subscriptions = Subscriptions(store, KeyHasher(PEPPER), clock)
    services = make_services(
        make_gateway(engine, store, timeout=REQUEST_TIMEOUT, monotonic=monotonic), subscriptions, store, clock=clock
    )
    app = create_app(services, max_body_bytes=MAX_BODY_BYTES, admin_token=admin_token)
    return Api(app, engine, monotonic, store, subscriptions, "")


@pytest.fixture
def admin(store: Store, clock: Clock) -> Admin:
    return Admin(make_api(store, clock, TOKEN), clock)
