"""Debug traces: who may have one, which steps it tells, and what is never in it."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.keeper import SWEEP_EVERY, Keeper
from gateway.ledger import TRACES_KEPT_FOR
from gateway.traces import MOST_KEPT
from tests.gateways import make_gateway
from tests.management.conftest import ACME, GOLD, Admin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.store import Store
    from tests.http.conftest import Reply

CREDENTIALS = f"{ACME}/listDebugCredentials"
LIST_TRACE = "/management/listTrace"
TOKEN_HEADER, TRACE_HEADER = "Apim-Debug-Authorization", "Apim-Trace-Id"
TALK = {"messages": [{"role": "user", "content": "a"}]}


def token(admin: Admin, path: str = CREDENTIALS, **body: object) -> str:
    """A debug token for a subscription."""
    reply = admin.send("POST", path, body)
    assert reply.status == 200, reply.body
    return str(reply.json["token"])


def call(admin: Admin, key: str, body: object = None, path: str = "/get-data", **headers: str) -> Reply:
    """A caller's request."""
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = json.dumps({"prompt": "a"} if body is None else body).encode()
    return admin.api.open("POST", path, body=raw, headers=sent, key=key)


def traced(admin: Admin, reply: Reply) -> dict[str, Any]:
    """The trace of an answer."""
    found = admin.send("POST", LIST_TRACE, {"traceId": reply.headers[TRACE_HEADER]})
    assert found.status == 200, found.body
    return found.json


def names(trace: Mapping[str, Any]) -> list[str]:
    """What each step was, in order."""
    sections = [trace["traceEntries"][name] for name in ("inbound", "backend", "outbound")]
    return [entry["source"] for section in sections for entry in section]


def step(trace: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What was found and decided in a step."""
    (found,) = [
        entry["data"] for section in trace["traceEntries"].values() for entry in section if entry["source"] == name
    ]
    data: dict[str, Any] = found
    return data


def seconds(duration: str) -> float:
    """Of a duration as traces have it."""
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{7}", duration)
    hours, minutes, rest = duration.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def ended(entry: Mapping[str, str]) -> float:
    """When a step was over, since the request began."""
    return seconds(entry["elapsed"]) + seconds(entry["duration"])


@pytest.fixture
def key(admin: Admin) -> str:
    """Of a subscription whose product has every limit."""
    limits = {
        "rate": {"calls": 50, "seconds": 60},
        "callQuota": {"amount": 100, "period": "day"},
        "tokensPerMinute": 1000,
        "tokenQuota": {"amount": 5000, "period": "day"},
        "maxConcurrency": 3,
        "maxTokens": 40,
    }
    assert admin.put(GOLD, displayName="Gold", **limits).status == 201
    return str(admin.subscribe(scope="/products/gold")["primaryKey"])


def test_a_request_with_a_token_leaves_its_steps_for_the_operator(admin: Admin, key: str) -> None:
    reply = call(admin, key, {"prompt": "abc", "temperature": 0.5}, Apim_Debug_Authorization=token(admin))
    assert reply.status == 200
    trace = traced(admin, reply)
    assert trace["traceId"] == reply.headers[TRACE_HEADER] != reply.headers["X-Trace-Id"] == trace["requestTraceId"]
    assert (trace["subscription"], trace["product"], trace["operation"]) == ("acme", "gold", "Get Data")
    assert trace["status"] == 200
    before = ["request", "key", "call rate", "calls", "body", "model", "queue bound", "chat template", "token limits"]
    assert names(trace) == [*before, "engine", "queue", "prefill", "decode", "settlement"]
    assert step(trace, "key") == {
        "subscription": "acme",
        "product": "gold",
        "key": "primary",
        "limit_rate": json.dumps({"calls": 50, "seconds": 60}),
        "limit_callQuota": json.dumps({"amount": 100, "period": "day"}),
        "limit_tokensPerMinute": json.dumps(1000),
        "limit_tokenQuota": json.dumps({"amount": 5000, "period": "day"}),
        "limit_maxConcurrency": json.dumps(3),
        "limit_maxTokens": json.dumps(40),
        "limit_sharedCache": "false",
    }
    assert step(trace, "call rate") == {"calls": 50, "seconds": 60, "remaining": 49}
    calls = step(trace, "calls")
    assert (calls["concurrency_limit"], calls["running"]) == (3, 0)
    assert (calls["call_quota_limit"], calls["call_quota_used"]) == (100, 0)
    assert step(trace, "chat template") == {"prompt_tokens": 3, "context": 512}
    limits = step(trace, "token limits")
    assert (limits["tokens_per_minute_limit"], limits["token_quota_limit"]) == (1000, 5000)
    assert limits["token_quota_used"] == limits["token_quota_reserved_by_others"] == 0
    assert (limits["wanted"], limits["granted"], limits["reserved"]) == (40, 40, 43)
    engine = step(trace, "engine")
    assert (engine["requested_model"], engine["model"], engine["max_tokens"]) == ("scripted", "scripted", 40)
    assert (engine["temperature"], engine["stream"], engine["finish_reason"]) == (0.5, False, "stop")
    settled = step(trace, "settlement")
    assert (settled["status"], settled["prompt_tokens"], settled["completion_tokens"]) == (200, 3, 10)
    assert settled["delivered_tokens"] == 10


def test_the_times_of_steps_fit_into_each_other(admin: Admin, key: str) -> None:
    trace = traced(admin, call(admin, key, Apim_Debug_Authorization=token(admin)))
    entries = [entry for section in trace["traceEntries"].values() for entry in section]
    began = [seconds(entry["elapsed"]) for entry in entries]
    assert began == sorted(began)
    assert all(entry["timestamp"].endswith("Z") for entry in entries)
    engine, queue, prefill, decode = trace["traceEntries"]["backend"]
    assert [one.get("inside") for one in (engine, queue, prefill, decode)] == [None, "engine", "engine", "engine"]
    for one, following in ((queue, prefill), (prefill, decode)):
        assert ended(one) == pytest.approx(seconds(following["elapsed"]), abs=1e-6)
    assert ended(decode) <= ended(engine) + 1e-6
    assert max(began) <= seconds(trace["duration"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/System%20Prompt%20Get%20Data", {"prompt": "a", "system prompt": "b"}),
        ("/v1/chat/completions", TALK),
        ("/v1/completions", {"prompt": "a", "model": "scripted"}),
        ("/openai/deployments/scripted/chat/completions", TALK),
        ("/get-data", {"prompt": "a", "stream": True}),
        ("/v1/chat/completions", {**TALK, "stream": True}),
    ],
)
def test_each_operation_is_traced_streamed_or_not(admin: Admin, key: str, path: str, body: object) -> None:
    reply = call(admin, key, body, path, Apim_Debug_Authorization=token(admin))
    assert reply.status == 200, reply.body
    steps = {"key", "token limits", "engine", "queue", "prefill", "decode", "settlement"}
    assert steps <= set(names(traced(admin, reply)))


def test_a_stream_can_be_looked_up_when_its_last_event_is_there(admin: Admin, key: str) -> None:
    admin.api.key = key
    with admin.api.stream({"prompt": "a", "stream": True}, headers={TOKEN_HEADER: token(admin)}) as stream:
        for piece in stream.pieces:
            if b"finish_reason" in piece:
                break
        found = admin.send("POST", LIST_TRACE, {"traceId": stream.headers[TRACE_HEADER]})
    assert found.status == 200
    assert "settlement" in names(found.json)


def test_a_caller_that_hung_up_is_traced(admin: Admin, key: str) -> None:
    admin.api.key = key
    admin.api.answers("four", hold_after=2)
    with admin.api.stream({"prompt": "a", "stream": True}, headers={TOKEN_HEADER: token(admin)}) as stream:
        stream.take(2)
    found = admin.send("POST", LIST_TRACE, {"traceId": stream.headers[TRACE_HEADER]}).json
    assert (found["status"], step(found, "settlement")["completion_tokens"]) == (499, 2)
    assert step(found, "engine")["error"] == "Cancelled"
    assert step(found, "request")["error"] == "ClientClosedRequest"


@pytest.mark.parametrize(
    ("limits", "body", "refused"),
    [
        ({"rate": {"calls": 1}}, {"prompt": "a"}, (429, "call rate", "call_rate")),
        ({"callQuota": {"amount": 1, "period": "day"}}, {"prompt": "a"}, (403, "calls", "call_quota")),
        ({"tokensPerMinute": 14}, {"prompt": "abc"}, (429, "token limits", "tokens_per_minute")),
        ({"tokenQuota": {"amount": 14, "period": "day"}}, {"prompt": "abc"}, (403, "token limits", "token_quota")),
        ({"models": ["scripted"]}, {"prompt": "a", "model": "second-name"}, (403, "model", "model")),
    ],
)
def test_a_refused_call_tells_which_limit_refused_it_and_why(
    admin: Admin, limits: dict[str, object], body: object, refused: tuple[int, str, str]
) -> None:
    status, at, limit = refused
    assert admin.put(GOLD, displayName="Gold", **limits).status == 201
    key = str(admin.subscribe(scope="/products/gold")["primaryKey"])
    debug = token(admin)
    call(admin, key, body)
    reply = call(admin, key, body, Apim_Debug_Authorization=debug)
    assert reply.status == status, reply.body
    trace = traced(admin, reply)
    found = step(trace, at)
    assert (found["limit"], found["decision"]) == (limit, reply.json["message"])
    assert (trace["status"], step(trace, "request")["limit"]) == (status, limit)
    assert "engine" not in names(trace)


def test_a_faulty_request_and_a_broken_engine_are_traced(admin: Admin, key: str) -> None:
    debug = token(admin)
    reply = call(admin, key, {"prompt": "a", "their-word": 1}, Apim_Debug_Authorization=debug)
    assert reply.status == 400
    assert step(traced(admin, reply), "body") == {"error": "InvalidRequestError"}
    admin.api.answers(fail_after=1, error=RuntimeError("quotes the prompt"))
    reply = call(admin, key, Apim_Debug_Authorization=debug)
    assert reply.status == 500
    assert step(traced(admin, reply), "engine")["error"] == "RuntimeError"
    admin.api.engine.phase = "loading"
    reply = call(admin, key, Apim_Debug_Authorization=debug)
    assert reply.status == 503
    assert step(traced(admin, reply), "model")["error"] == "UnavailableError"


def test_without_a_valid_key_there_is_no_trace(admin: Admin, key: str) -> None:
    debug = token(admin)
    for wrong in ("", "0" * 32, key[:-1]):
        reply = call(admin, wrong, Apim_Debug_Authorization=debug)
        assert reply.status == 401
        assert not [name for name in reply.headers if name.startswith("Apim")]


def test_an_answer_that_is_given_once_more_is_traced(admin: Admin, key: str) -> None:
    debug = token(admin)
    first = call(admin, key, Apim_Debug_Authorization=debug, Idempotency_Key="k")
    again = call(admin, key, Apim_Debug_Authorization=debug, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.headers[TRACE_HEADER] != again.headers[TRACE_HEADER]
    assert "this one is made" in step(traced(admin, first), "idempotency key")["decision"]
    trace = traced(admin, again)
    assert names(trace) == ["request", "key", "call rate", "idempotency key"]
    assert step(trace, "idempotency key")["replay_of"] == first.headers["X-Trace-Id"]


def test_a_lease_and_its_waiting_are_steps_in_the_engine(admin: Admin) -> None:
    quota = {"tokenQuota": {"amount": 400, "period": "lifetime"}}
    assert admin.put(GOLD, displayName="Gold", **quota).status == 201
    key = str(admin.subscribe(scope="/products/gold")["primaryKey"])
    admin.api.answers("a" * 300)
    reply = call(admin, key, {"prompt": "a", "max_tokens": 300}, Apim_Debug_Authorization=token(admin))
    trace = traced(admin, reply)
    leases = [entry for entry in trace["traceEntries"]["backend"] if entry["source"] == "lease"]
    assert leases
    assert {entry["inside"] for entry in leases} == {"engine"}
    assert leases[-1]["data"]["granted"] == 300
    assert leases[0]["data"]["token_quota_limit"] == 400


def test_a_call_that_waits_for_others_tokens_says_how_long(admin: Admin) -> None:
    assert admin.put(GOLD, displayName="Gold", tokenQuota={"amount": 100, "period": "lifetime"}).status == 201
    key = str(admin.subscribe(scope="/products/gold")["primaryKey"])
    debug = token(admin)
    admin.api.answers("a" * 60, hold_after=10)
    first = threading.Thread(target=call, args=(admin, key, {"prompt": "a", "max_tokens": 98}))
    first.start()
    while admin.api.engine.running == 0:
        first.join(0.01)
    release = threading.Timer(0.2, admin.api.engine.release.set)
    release.start()
    reply = call(admin, key, {"prompt": "a", "max_tokens": 5}, Apim_Debug_Authorization=debug)
    first.join()
    release.join()
    assert reply.status == 200
    found = step(traced(admin, reply), "token limits")
    assert found["granted"] == 5
    assert found["decision"].startswith("It waited")


# --- tokens ------------------------------------------------------------------------------------------------------


def test_a_token_is_for_one_subscription(admin: Admin, key: str) -> None:
    admin.subscribe("/management/subscriptions/other", displayName="Other")
    others = token(admin, "/management/subscriptions/other/listDebugCredentials")
    reply = call(admin, key, Apim_Debug_Authorization=others)
    assert reply.status == 200
    assert "another subscription" in reply.headers["Apim-Debug-Authorization-WrongAPI"]
    assert TRACE_HEADER not in reply.headers


@pytest.mark.parametrize(("body", "lifetime"), [({}, 3600), ({"credentialsExpireAfter": "PT1M30S"}, 90)])
def test_a_token_expires_and_the_answer_says_when(admin: Admin, key: str, body: dict[str, str], lifetime: int) -> None:
    reply = admin.send("POST", CREDENTIALS, {**body, "purposes": ["tracing"]})
    expires = (admin.clock.now + timedelta(seconds=lifetime)).isoformat().replace("+00:00", "Z")
    assert reply.json["expirationDate"] == expires
    admin.clock.now += timedelta(seconds=lifetime - 1)
    assert TRACE_HEADER in call(admin, key, Apim_Debug_Authorization=reply.json["token"]).headers
    admin.clock.now += timedelta(seconds=1)
    late = call(admin, key, Apim_Debug_Authorization=reply.json["token"])
    assert late.status == 200
    assert late.headers["Apim-Debug-Authorization-Expired"] == expires
    assert TRACE_HEADER not in late.headers


def test_a_token_that_nobody_issued_is_passed_over(admin: Admin, key: str) -> None:
    good = token(admin)
    longer = re.sub(r"ex=(\d+)", lambda found: f"ex={int(found[1]) + 1}", good)
    for forged in ("", "x", good[:-1], good + "0", longer, good.replace("acme", "acm"), good.upper(), "a" * 5000):
        reply = call(admin, key, Apim_Debug_Authorization=forged)
        assert reply.status == 200
        assert "no debug token" in reply.headers["Apim-Debug-Authorization-Invalid"]
        assert TRACE_HEADER not in reply.headers


@pytest.mark.parametrize(
    "lifetime", ["PT1H1S", "PT61M", "PT2H", "PT0S", "PT", "P1D", "1h", "", "PT-5M", "PT1.5M", "PT\u0661M", 60, None]
)
def test_a_lifetime_is_an_hour_at_most(admin: Admin, key: str, lifetime: object) -> None:
    del key
    reply = admin.send("POST", CREDENTIALS, {"credentialsExpireAfter": lifetime})
    reply.assert_error(400, "credentialsExpireAfter")


def test_what_is_asked_for_is_checked(admin: Admin, key: str) -> None:
    del key
    admin.send("POST", "/management/subscriptions/none/listDebugCredentials", {}).assert_error(404, "none")
    admin.send("POST", CREDENTIALS, {"purposes": ["spying"]}).assert_error(400, "purposes")
    admin.send("POST", CREDENTIALS, {"apiId": "/apis/a"}).assert_error(400, "apiId")
    admin.send("POST", LIST_TRACE, {"traceId": "0" * 32}).assert_error(404, "Apim-Trace-Id")
    admin.send("POST", LIST_TRACE, {"traceId": "x"}).assert_error(400, "traceId")
    admin.send("POST", LIST_TRACE, {}).assert_error(400, "traceId")
    stranger = Admin(admin.api, admin.clock, token=None)
    stranger.send("POST", CREDENTIALS, {}).assert_error(401)
    stranger.send("POST", LIST_TRACE, {"traceId": "0" * 32}).assert_error(401)


# --- what is kept ------------------------------------------------------------------------------------------------


def test_nothing_that_a_caller_or_the_model_wrote_is_kept(admin: Admin, key: str, tmp_path: Path) -> None:
    debug = token(admin)
    admin.api.answers("canaryanswer")
    bodies: list[dict[str, object]] = [
        {"prompt": "canaryprompt", "stop": "canarystop"},
        {"prompt": "canaryprompt", "canaryfield": 1},
        {"prompt": "canaryprompt", "model": "canarymodel"},
        {"prompt": "canaryprompt", "temperature": "canaryvalue"},
    ]
    for body in bodies:
        headers = {"Apim_Debug_Authorization": debug, "Idempotency_Key": f"canary{len(body)}"}
        reply = call(admin, key, body, "/get-data?canary=canary", **headers)
        assert "canary" not in json.dumps(traced(admin, reply))
    sent = call(admin, key, {**TALK, "user": "canaryuser"}, "/v1/chat/completions", Apim_Debug_Authorization=debug)
    text = json.dumps(traced(admin, sent))
    assert key not in text
    assert debug[-64:] not in text
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("g.sqlite3*"))
    assert b"settlement" in stored
    assert b"canary" not in stored
    assert key.encode() not in stored


def test_a_trace_is_kept_for_a_day(admin: Admin, key: str, store: Store) -> None:
    reply = call(admin, key, Apim_Debug_Authorization=token(admin))
    admin.clock.now += TRACES_KEPT_FOR - timedelta(seconds=1)
    traced(admin, reply)
    gateway = make_gateway(admin.api.engine, store, clock=admin.clock)
    keeper = Keeper(gateway._admissions)  # noqa: SLF001 - what runs in a worker's thread
    keeper.sweep(SWEEP_EVERY)
    traced(admin, reply)
    admin.clock.now += timedelta(seconds=1)
    admin.send("POST", LIST_TRACE, {"traceId": reply.headers[TRACE_HEADER]}).assert_error(404)
    keeper.sweep(SWEEP_EVERY)
    admin.clock.now -= timedelta(seconds=1)
    admin.send("POST", LIST_TRACE, {"traceId": reply.headers[TRACE_HEADER]}).assert_error(404)


def test_the_newest_of_a_subscription_are_kept(admin: Admin) -> None:
    key = str(admin.subscribe(scope="/apis")["primaryKey"])
    other = str(admin.subscribe("/management/subscriptions/other", displayName="Other", scope="/apis")["primaryKey"])
    others = call(
        admin, other, Apim_Debug_Authorization=token(admin, "/management/subscriptions/other/listDebugCredentials")
    )
    debug = token(admin)
    replies = []
    for _ in range(MOST_KEPT + 3):
        admin.clock.now += timedelta(seconds=1)
        replies.append(call(admin, key, Apim_Debug_Authorization=debug))
    found = [admin.send("POST", LIST_TRACE, {"traceId": reply.headers[TRACE_HEADER]}).status for reply in replies]
    assert found == [404] * 3 + [200] * MOST_KEPT
    traced(admin, others)


def test_a_subscriptions_traces_go_with_it(admin: Admin, key: str) -> None:
    reply = call(admin, key, Apim_Debug_Authorization=token(admin))
    assert admin.delete(ACME).status == 204
    admin.send("POST", LIST_TRACE, {"traceId": reply.headers[TRACE_HEADER]}).assert_error(404)


def test_a_page_may_send_the_token_and_read_what_became_of_it(admin: Admin, key: str) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = TOKEN_HEADER
    preflight = admin.api.open("OPTIONS", "/get-data", headers=asked)
    assert preflight.headers["Access-Control-Allow-Headers"].lower() == TOKEN_HEADER.lower()
    reply = call(admin, key, Apim_Debug_Authorization=token(admin), Origin="https://page.example")
    exposed = {name.strip() for name in reply.headers["Access-Control-Expose-Headers"].split(",")}
    assert {TRACE_HEADER, f"{TOKEN_HEADER}-Expired", f"{TOKEN_HEADER}-WrongAPI", f"{TOKEN_HEADER}-Invalid"} <= exposed


def test_every_request_without_a_token_leaves_no_trace(admin: Admin, key: str, tmp_path: Path) -> None:
    assert call(admin, key).status == 200
    assert b"traceEntries" not in b"".join(path.read_bytes() for path in tmp_path.glob("g.sqlite3*"))
