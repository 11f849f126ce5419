"""Every failure has a status and the contract's form, whoever makes it; what nobody foresaw tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.exceptions import default_exceptions

from app.errors import STATUS, status_of
from app.factory import create_app
from gateway import errors
from gateway.engines.scripted import ScriptedEngine
from gateway.keys import KeyHasher
from gateway.store import connect_store
from gateway.subscriptions import Subscriptions
from tests.gateways import PEPPER, make_gateway, make_services
from tests.http.conftest import Api, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.http.conftest import Log

CANARY = "canary-prompt"
EXPECTED = {
    "InvalidRequestError": 400,
    "AuthenticationError": 401,
    "MissingKeyError": 401,
    "InvalidKeyError": 401,
    "AdminTokenError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "PreconditionFailedError": 412,
    "RateLimitedError": 429,
    "InternalError": 500,
    "UnavailableError": 503,
    "DeadlineExceededError": 504,
}
OWN_TEXT = {
    errors.MissingKeyError: (),
    errors.InvalidKeyError: (),
    errors.AdminTokenError: (),
    errors.InternalError: ("detail",),
}


def subclasses(of: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    for below in of.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from subclasses(below)


CLASSES = list(subclasses(errors.GatewayError))


def made(kind: type[errors.GatewayError]) -> errors.GatewayError:
    arguments: tuple[str, ...] = OWN_TEXT.get(kind, ("Do something else.",))
    return kind(*arguments)


def test_the_table_of_errors_is_complete() -> None:
    assert {kind.__name__: status_of(made(kind)) for kind in CLASSES} == EXPECTED
    assert set(STATUS) <= set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("stream", [True, False])
def test_every_error_is_answered_with_its_status(
    api: Api, log: Log, kind: type[errors.GatewayError], *, stream: bool
) -> None:
    error = made(kind)
    error.detail, error.retry_after = "for the operator only", 1.2
    api.answers(fail_after=0, error=error)
    reply = api.post({"prompt": "a", "stream": stream})
    assert reply.assert_error(EXPECTED[kind.__name__])["message"] == error.message
    assert reply.headers["Retry-After"] == "2"
    assert ("WWW-Authenticate" in reply.headers) == (reply.status == 401)
    line = log.request()
    assert (line["status"], line["error"]) == (reply.status, kind.__name__)
    assert line["detail"] == "for the operator only"


def test_a_subclass_has_the_status_of_its_ancestor() -> None:
    class QueueFullError(errors.UnavailableError):
        pass

    assert status_of(QueueFullError("Later.")) == 503


def test_retry_after_is_never_zero(api: Api) -> None:
    api.answers(fail_after=0, error=errors.UnavailableError("Later.", retry_after=0.0))
    assert api.post({"prompt": "a"}).headers["Retry-After"] == "1"


@pytest.mark.parametrize("error", default_exceptions.values())
def test_every_error_of_the_framework_is_answered_in_the_form_of_the_contract(api: Api, log: Log, error: Any) -> None:
    api.answers(fail_after=0, error=error())
    reply = api.post({"prompt": "a"})
    reply.assert_error(error.code)
    assert log.request()["status"] == error.code


@pytest.mark.parametrize("stream", [True, False])
def test_an_unforeseen_failure_tells_nothing_and_is_logged_without_its_text(
    api: Api, log: Log, *, stream: bool
) -> None:
    api.answers(fail_after=0, error=RuntimeError(f"cannot do {CANARY}"))
    reply = api.post({"prompt": CANARY, "stream": stream})
    body = reply.assert_error(500, "The gateway failed to answer.")
    assert "RuntimeError" not in body["message"]
    failed, request = log.lines
    assert (failed["event"], failed["level"]) == ("a request failed", "error")
    assert failed["trace_id"] == request["trace_id"] == body["traceId"]
    assert "Traceback" in failed["exception"]
    assert "scripted.py" in failed["exception"]
    assert failed["exception"].endswith("RuntimeError")
    assert (request["status"], request["error"], request["detail"]) == (500, "InternalError", "RuntimeError")
    assert CANARY not in log.text + reply.body.decode()


def test_an_unforeseen_failure_with_a_cause_is_logged_without_the_causes_text(api: Api, log: Log) -> None:
    error = RuntimeError("outer")
    error.__cause__ = ValueError(CANARY)
    api.answers(fail_after=0, error=error)
    api.post({"prompt": "a"}).assert_error(500)
    assert CANARY not in log.text


@pytest.fixture
def without_store(tmp_path: Path) -> Api:
    store = connect_store(f"sqlite:///{tmp_path / 'no such folder' / 'g.sqlite3'}", patience=0.05)
    engine, clock = ScriptedEngine(), Clock()
    subscriptions = Subscriptions(store, KeyHasher(PEPPER))
    services = make_services(make_gateway(engine, store, monotonic=clock), subscriptions, store)
    app = create_app(services, max_body_bytes=1024)
    return Api(app, engine, clock, store, subscriptions, "0" * 32)


def test_a_key_store_that_cannot_be_reached_is_no_denial(without_store: Api, log: Log) -> None:
    reply = without_store.post({"prompt": "a"})
    body = reply.assert_error(503, "The key store cannot be reached.")
    assert reply.headers["Retry-After"] == "2"
    assert "sqlite" not in body["message"]
    assert "OperationalError" in log.request()["detail"]
    assert without_store.key not in log.text


def test_without_the_key_store_a_missing_key_is_still_missing_and_the_process_alive(without_store: Api) -> None:
    headers = {"Content-Type": "application/json"}
    without_store.open("POST", "/get-data", body=b"{}", headers=headers).assert_error(401)
    assert without_store.get("/health/live").status == 200


@pytest.mark.parametrize(
    "path",
    ["//", "/v2", "/%00", "/%FF%FE", "/..%2F..%2Fetc", "/" + "a" * 5000, "/<script>", "/health", "/health//live"],
)
def test_an_unknown_path_is_told_without_being_quoted(api: Api, path: str) -> None:
    message = api.open("PUT", path).assert_error(404, "There is no such operation.")["message"]
    assert "script" not in message
    assert "etc" not in message
