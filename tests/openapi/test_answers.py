"""Real answers of the app are as the description has them: what succeeds, and each kind of failure."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from app.streaming import StreamBrokenError
from gateway.errors import DeadlineExceededError, UnavailableError
from tests.http.conftest import MAX_BODY_BYTES, Reply
from tests.management.conftest import ACME, GOLD, Admin, body_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.openapi.conftest import Described

SID, PID = "/management/subscriptions/{sid}", "/management/products/{pid}"
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
AZURE = "/openai/deployments/{deployment}"
TALK: dict[str, object] = {"messages": [{"role": "user", "content": "abc"}]}
GENERATING: list[tuple[str, str, dict[str, object]]] = [
    ("/get-data", "/get-data", {"prompt": "abc"}),
    ("/system-prompt-get-data", "/System%20Prompt%20Get%20Data", {"prompt": "abc", "system prompt": "d"}),
    (CHAT, CHAT, TALK),
    (COMPLETION, COMPLETION, {"prompt": "abc"}),
    (f"{AZURE}/chat/completions", "/openai/deployments/scripted/chat/completions?api-version=1", TALK),
    (f"{AZURE}/completions", "/openai/deployments/scripted/completions", {"prompt": "abc"}),
]


def call(admin: Admin, key: str | None, path: str, body: object = None, method: str = "POST") -> Reply:
    """A caller's request; without a body a GET."""
    headers = {} if key is None else {"Ocp-Apim-Subscription-Key": key}
    return admin.send("GET" if body is None else method, path, body, {"Authorization": "", **headers})


def with_key(admin: Admin, key: str, path: str, body: object, idempotency_key: str) -> Reply:
    """A caller's request with an Idempotency-Key."""
    headers = {"Authorization": "", "Ocp-Apim-Subscription-Key": key, "Idempotency-Key": idempotency_key}
    return admin.send("POST", path, body, headers)


def subscribed(admin: Admin, **limits: object) -> str:
    """The key of a subscription for a product with these limits."""
    assert admin.put(GOLD, displayName="Gold", **limits).status == 201
    return str(admin.subscribe(scope="/products/gold")["primaryKey"])


def streamed(admin: Admin, key: str, path: str, body: Mapping[str, object]) -> Reply:
    """All of a streamed answer, also of one that breaks."""
    api = admin.api
    api.key = key
    with api.stream({**body, "stream": True}, path=path) as stream:
        pieces: list[bytes] = []
        with suppress(StreamBrokenError):  # how the server is told to cut the body
            pieces.extend(stream.pieces)
    return Reply(stream.status, stream.headers, b"".join(pieces))


def debug_one(admin: Admin, described: Described) -> None:
    """A debug token, a request with it, and its trace."""
    reply = described.check(
        "post", f"{SID}/listDebugCredentials", admin.send("POST", f"{ACME}/listDebugCredentials", {})
    )
    key = admin.send("POST", f"{ACME}/regeneratePrimaryKey").json["primaryKey"]
    sent = {"Authorization": "", "Ocp-Apim-Subscription-Key": key, "Apim-Debug-Authorization": reply.json["token"]}
    traced = described.check("post", "/get-data", admin.send("POST", "/get-data", {"prompt": "a"}, sent))
    wanted = {"traceId": traced.headers["Apim-Trace-Id"]}
    described.check("post", "/management/listTrace", admin.send("POST", "/management/listTrace", wanted))


def test_every_success_is_described(admin: Admin, described: Described) -> None:
    def checked(method: str, path: str, reply: Reply) -> Reply:
        return described.check(method, path, reply)

    product = {"rate": {"calls": 100}, "tokenQuota": {"amount": 100_000, "period": "day"}}
    checked("put", PID, admin.put(GOLD, displayName="Gold", **product))
    checked("put", PID, admin.put(GOLD, displayName="Gold", **product))
    made = checked("put", SID, admin.put(ACME, displayName="Acme", scope="/products/gold", state="active"))
    checked("put", SID, admin.put(ACME, displayName="Acme", scope="/products/gold"))
    key = made.json["properties"]["primaryKey"]
    for template, path, body in GENERATING:
        checked("post", template, call(admin, key, path, body))
        stream = checked("post", template, streamed(admin, key, path, body))
        assert stream.body.endswith(b"data: [DONE]\n\n")
        for more in ({}, {"stream": True}):
            for replayed in (None, "true"):
                keyed = with_key(admin, key, path, {**body, **more}, f"key-{template}-{len(more)}")
                assert keyed.headers.get("Idempotent-Replayed") == replayed
                checked("post", template, keyed)
    checked("get", "/v1/models", call(admin, key, "/v1/models"))
    checked("get", "/v1/models/{id}", call(admin, key, "/v1/models/scripted"))
    checked("get", "/me/subscription", call(admin, key, "/me/subscription"))
    usage = checked("get", "/me/usage", call(admin, key, "/me/usage?by=day,model,operation"))
    assert usage.json["value"]
    checked("post", "/me/regenerateKey", call(admin, key, "/me/regenerateKey", {"key": "secondary"}))
    checked("get", "/health/live", admin.api.get("/health/live"))
    checked("get", "/health/ready", admin.api.get("/health/ready"))
    checked("get", "/metrics", admin.api.get("/metrics"))
    document = checked("get", "/openapi.json", admin.api.get("/openapi.json"))
    tag = {"If-None-Match": document.headers["ETag"]}
    checked("get", "/openapi.json", admin.api.open("GET", "/openapi.json", headers=tag))
    portal = checked("get", "/", admin.api.get("/"))
    tag = {"If-None-Match": portal.headers["ETag"]}
    checked("get", "/", admin.api.open("GET", "/", headers=tag))

    checked("get", SID, admin.get(ACME))
    checked("patch", SID, admin.patch(ACME, displayName="Acme Inc."))
    checked("get", PID, admin.get(GOLD))
    checked("patch", PID, admin.patch(GOLD, maxTokens=100))
    admin.put("/management/subscriptions/b", displayName="B", scope="/apis")
    page = checked("get", "/management/subscriptions", admin.get("/management/subscriptions?$top=1"))
    assert "nextLink" in page.json
    checked("get", "/management/products", admin.get("/management/products"))
    checked("get", "/management/usage", admin.get("/management/usage"))
    checked("get", "/management/engine", admin.get("/management/engine"))
    for name in ("Primary", "Secondary"):
        path = f"regenerate{name}Key"
        checked("post", f"{SID}/{path}", admin.send("POST", f"{ACME}/{path}"))
    debug_one(admin, described)
    checked("delete", SID, admin.delete(ACME))
    checked("delete", PID, admin.delete(GOLD))

    unavailable = ("get", "/health/ready", "503")
    successes = {
        (method, path, status)
        for method, path, operation in described.operations()
        for status, answer in operation["responses"].items()
        if "$ref" not in answer
    }
    assert described.seen == successes - {unavailable}


@pytest.mark.parametrize(("template", "path", "body"), GENERATING)
def test_every_failure_of_a_prompt_is_described(
    admin: Admin, described: Described, template: str, path: str, body: dict[str, object]
) -> None:
    def failed(status: int, reply: Reply) -> None:
        assert reply.status == status, reply.body
        described.check("post", template, reply)

    key = str(admin.subscribe(scope="/apis")["primaryKey"])
    failed(401, call(admin, None, path, body))
    failed(401, call(admin, "0" * 32, path, body))
    failed(400, call(admin, key, path, []))
    failed(400, with_key(admin, key, path, body, "no key"))
    assert with_key(admin, key, path, body, "key").status == 200
    failed(400, with_key(admin, key, path, {**body, "max_tokens": 2}, "key"))
    failed(413, call(admin, key, path, {**body, "more": "a" * MAX_BODY_BYTES}))
    plain = {"Content-Type": "text/plain", "Ocp-Apim-Subscription-Key": key}
    failed(415, admin.api.open("POST", path, body=b"{}", headers=plain))
    if "deployment" in template:
        failed(404, call(admin, key, path.replace("scripted", "none"), body))
    else:
        failed(404, call(admin, key, path, {**body, "model": "none"}))
    admin.api.answers(fail_after=0, error=RuntimeError("a fault that nobody foresaw"))
    failed(500, call(admin, key, path, body))
    admin.api.answers(fail_after=0, error=DeadlineExceededError("The request took too long."))
    failed(504, call(admin, key, path, body))
    admin.api.engine.phase = "loading"
    failed(503, call(admin, key, path, body))


@pytest.mark.parametrize(("template", "path", "body"), GENERATING)
def test_a_stream_that_breaks_is_described(
    admin: Admin, described: Described, template: str, path: str, body: dict[str, object]
) -> None:
    key = str(admin.subscribe(scope="/apis")["primaryKey"])
    admin.api.answers("four", fail_after=2, error=UnavailableError("The model failed."))
    reply = described.check("post", template, streamed(admin, key, path, body))
    assert b"[DONE]" not in reply.body


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"rate": {"calls": 1}}, 429),
        ({"callQuota": {"amount": 1, "period": "day"}}, 403),
        ({"callQuota": {"amount": 1, "period": "lifetime"}}, 403),
        ({"tokenQuota": {"amount": 14, "period": "day"}}, 403),
        ({"tokensPerMinute": 14}, 429),
        ({"models": ["second-name"]}, 403),
    ],
)
@pytest.mark.parametrize("template", ["/get-data", CHAT])
def test_what_a_limit_answers_is_described(
    admin: Admin, described: Described, limits: dict[str, object], status: int, template: str
) -> None:
    key = subscribed(admin, **limits)
    body = {"prompt": "abc", "model": "scripted"} if template == "/get-data" else {**TALK, "model": "scripted"}
    if "models" not in limits:
        described.check("post", template, call(admin, key, template, body))
    reply = described.check("post", template, call(admin, key, template, body))
    assert reply.status == status, reply.body


def test_a_model_that_is_not_ready_is_described(admin: Admin, described: Described) -> None:
    key = str(admin.subscribe(scope="/apis")["primaryKey"])
    admin.api.engine.phase = "loading"
    for path, reply in (
        ("/health/ready", admin.api.get("/health/ready")),
        ("/v1/models", call(admin, key, "/v1/models")),
        ("/v1/models/{id}", call(admin, key, "/v1/models/scripted")),
    ):
        assert described.check("get", path, reply).status == 503


def test_every_failure_of_management_is_described(admin: Admin, described: Described) -> None:
    def failed(status: int, method: str, path: str, reply: Reply) -> None:
        assert reply.status == status, reply.body
        described.check(method, path, reply)

    admin.subscribe()
    stranger = Admin(admin.api, admin.clock, token=None)
    failed(401, "get", SID, stranger.send("GET", ACME))
    failed(404, "get", SID, admin.send("GET", "/management/subscriptions/none"))
    failed(404, "get", PID, admin.send("GET", GOLD))
    failed(400, "get", "/management/products", admin.send("GET", "/management/products?$top=0"))
    failed(400, "get", "/management/usage", admin.send("GET", "/management/usage?by=colour"))
    failed(400, "patch", SID, admin.send("PATCH", ACME, body_of(displayName="A")))
    failed(409, "patch", SID, admin.patch(ACME, state="submitted"))
    failed(412, "patch", SID, admin.patch(ACME, '"0"', displayName="A"))
    failed(412, "delete", SID, admin.delete(ACME, '"0"'))
    failed(415, "put", SID, admin.send("PUT", ACME, b"{}", {"Content-Type": "text/plain"}))
    failed(413, "put", SID, admin.put(ACME, displayName="a" * MAX_BODY_BYTES))


def test_every_failure_of_a_callers_own_is_described(admin: Admin, described: Described) -> None:
    key = str(admin.subscribe()["primaryKey"])
    for method, path in (("get", "/me/subscription"), ("get", "/me/usage"), ("post", "/me/regenerateKey")):
        body = None if method == "get" else {"key": "primary"}
        assert described.check(method, path, call(admin, None, path, body)).status == 401
    assert described.check("get", "/me/usage", call(admin, key, "/me/usage?x=1")).status == 400
    assert (
        described.check("post", "/me/regenerateKey", call(admin, key, "/me/regenerateKey", {"key": "x"})).status == 400
    )
    assert described.check("get", "/v1/models/{id}", call(admin, key, "/v1/models/none")).status == 404
