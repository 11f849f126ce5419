"""The real app over a scripted engine and a real key store; the log is the text that would be written."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from app.auth import KEY_HEADER
from app.factory import create_app
from gateway.engines.scripted import Script, ScriptedEngine
from gateway.keys import KeyHasher
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions
from gateway.telemetry import configure_logging
from tests.gateways import PEPPER, make_gateway, make_services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flask import Flask

MAX_BODY_BYTES = 16_384
CONTEXT_LENGTH = 512
REQUEST_TIMEOUT = 600.0


class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as the JSON object that it must be."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    def assert_error(self, status: int, *words: str) -> dict[str, Any]:
        """It is an error of this status in the contract's form, and its message has these words."""
        assert self.status == status, self.body
        assert self.headers["Content-Type"] == "application/json"
        body = self.json
        assert list(body) == ["code", "message", "traceId"]
        assert body["code"] == status
        assert re.fullmatch(r"[0-9a-f]{32}", body["traceId"])
        assert self.headers["X-Trace-Id"] == body["traceId"]
        assert self.headers["Access-Control-Allow-Origin"] == "*"
        assert isinstance(body["message"], str)
        for word in words:
            assert word in body["message"], body["message"]
        return body


@dataclass(frozen=True)
class Stream:
    """An answer that is being sent."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]

    def take(self, count: int) -> list[bytes]:
        """As many pieces as are asked for, in the order in which they are sent."""
        return [next(self.pieces) for _ in range(count)]


@dataclass
class Api:
    """A client of the app with a valid key. Each answer is read to its end, and closed."""

    app: Flask
    engine: ScriptedEngine
    clock: Clock
    store: Store
    subscriptions: Subscriptions
    key: str = field(repr=False)

    def open(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Reply:
        """One request as it is given, with no header but `headers`, and the key header if there is a key."""
        sent = {**({KEY_HEADER: key} if key is not None else {}), **(headers or {})}
        response = self.app.test_client().open(
            path,
            method=method,
            data=body,
            headers=sent,
            environ_overrides=dict(environ or {}),
        )
        with response:
            return Reply(response.status_code, dict(response.headers), response.get_data())

    @contextmanager
    def stream(
        self,
        body: object,
        *,
        path: str = "/get-data",
        environ: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Stream]:
        """A streamed answer, read as far as the test likes, and then closed as a server does."""
        builder = EnvironBuilder(
            path,
            method="POST",
            data=json.dumps(body),
            content_type="application/json",
            headers=Headers({KEY_HEADER: self.key, **(headers or {})}),
            environ_overrides=dict(environ or {}),
        )
        head: list[Any] = []

        def start_response(*given: Any) -> None:
            head.extend(given)

        # Called as a server calls it: nothing of the answer is taken before the test takes it.
        app: Any = self.app
        answer = app(builder.get_environ(), start_response)
        try:
            yield Stream(int(head[0].split()[0]), dict(head[1]), iter(answer))
        finally:
            answer.close()

    def get(self, path: str, **headers: str) -> Reply:
        """A GET without a key."""
        return self.open("GET", path, headers=headers)

    def post(self, body: object, path: str = "/get-data", **headers: str) -> Reply:
        """A POST with a key; what is not bytes already goes as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        return self.open("POST", path, body=raw, headers=sent, key=self.key)

    def answers(self, text: str = "An answer.", **script: Any) -> None:
        """Write down what the engine does with every request from now on."""
        self.engine.script = lambda _prompt: Script(text, **script)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('http') / 'g.sqlite3'}")
    yield store
    store.close()


@pytest.fixture(scope="session")
def subscriptions(store: Store) -> Subscriptions:
    return Subscriptions(store, KeyHasher(PEPPER))


@pytest.fixture(scope="session")
def valid_key(subscriptions: Subscriptions) -> str:
    return subscriptions.create("tests", "unlimited", sid="tests").primary_key


@pytest.fixture(scope="session")
def make_api(store: Store, subscriptions: Subscriptions, valid_key: str) -> Callable[..., Api]:
    """Makes an app with an engine and a clock of its own, over the session's key store."""

    def make(engine: ScriptedEngine | None = None) -> Api:
        engine, clock = engine or ScriptedEngine(context_length=CONTEXT_LENGTH), Clock()
        services = make_services(
            make_gateway(engine, store, timeout=REQUEST_TIMEOUT, monotonic=clock), subscriptions, store
        )
        app = create_app(services, max_body_bytes=MAX_BODY_BYTES)
        return Api(app, engine, clock, store, subscriptions, valid_key)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Iterator[Api]:
    """The app; a test that leaves the engine busy fails."""
    api = make_api()
    yield api
    assert api.engine.running == 0


@dataclass
class Log:
    """What the gateway has logged."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        """All of it, as it would be written."""
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Line by line, every one a JSON object."""
        return [json.loads(line) for line in self.text.splitlines()]

    def request(self) -> dict[str, Any]:
        """The line of the one request that there was."""
        (line,) = [line for line in self.lines if line["event"] == "request"]
        return line


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log as an operator has it: the real configuration, writing to memory."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        configure_logging()
    yield Log(stream)
    root.handlers[:] = handlers
    root.setLevel(level)
