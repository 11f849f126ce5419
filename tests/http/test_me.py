"""What a caller may see and do with its own key, and that it is its own only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidKeyError
from gateway.periods import Period
from gateway.products import Limits, Quota, Rate
from tests.http.test_limits import Limited, limited

if TYPE_CHECKING:
    from tests.http.conftest import Reply

__all__ = ["limited"]

OTHER = "another-caller"


@pytest.fixture
def me(limited: Limited) -> Limited:
    """A caller that is not the only one."""
    limited.limit(
        Limits(
            rate=Rate(1000, 60),
            call_quota=Quota(10, Period.LIFETIME),
            tokens_per_minute=100,
            token_quota=Quota(500, Period.DAY),
            max_concurrency=3,
        )
    )
    limited.api.answers("four")
    other = limited.api.subscriptions.create("Another", "limited", sid=OTHER).primary_key
    limited.api.open(
        "POST", "/get-data", body=b'{"prompt": "abcdefgh"}', headers={"Content-Type": "application/json"}, key=other
    )
    return limited


def get(limited: Limited, path: str) -> Reply:
    return limited.api.open("GET", path, key=limited.api.key)


def test_a_caller_sees_its_subscription_and_what_is_left(me: Limited) -> None:
    me.api.post({"prompt": "abc"})
    reply = get(me, "/me/subscription")
    assert reply.status == 200
    assert reply.json == {
        "id": "caller",
        "displayName": "caller",
        "product": "limited",
        "state": "active",
        "startDate": "2030-01-01T12:00:00Z",
        "expirationDate": None,
        "keyUsed": "primary",
        "limits": {
            "rate": {"calls": 1000, "seconds": 60},
            "callQuota": {"amount": 10, "period": "lifetime"},
            "tokensPerMinute": 100,
            "tokenQuota": {"amount": 500, "period": "day"},
            "maxConcurrency": 3,
            "maxTokens": None,
            "models": None,
            "priority": None,
            "sharedCache": False,
        },
        "left": {
            "rate": {"limit": 1000, "remaining": 999, "resetSeconds": 60},
            "callQuota": {"limit": 10, "remaining": 9, "resetSeconds": None},
            "maxConcurrency": {"limit": 3, "remaining": 3, "resetSeconds": None},
            "tokensPerMinute": {"limit": 100, "remaining": 93, "resetSeconds": 60.0},
            "tokenQuota": {"limit": 500, "remaining": 493, "resetSeconds": 43200.0},
        },
    }


def test_what_runs_is_not_left(me: Limited) -> None:
    me.api.answers(hold_after=1)
    with me.api.stream({"prompt": "abc", "max_tokens": 7, "stream": True}) as stream:
        stream.take(1)
        left = get(me, "/me/subscription").json["left"]
    assert left["maxConcurrency"]["remaining"] == 2
    assert left["tokenQuota"]["remaining"] == 490


def test_to_look_costs_nothing(me: Limited) -> None:
    for path in ("/me/subscription", "/me/usage"):
        assert get(me, path).status == 200
    left = get(me, "/me/subscription").json["left"]
    assert left["callQuota"]["remaining"] == 10
    assert left["rate"] == {"limit": 1000, "remaining": 1000, "resetSeconds": 0}


def test_usage_is_there_right_after_the_answer(me: Limited) -> None:
    me.api.post({"prompt": "abc"})
    me.api.post(b"no JSON")
    found = get(me, "/me/usage").json
    assert found["count"] == 2
    assert found["value"][1] == {
        "day": "2030-01-01",
        "model": "scripted",
        "calls": 1,
        "failedCalls": 0,
        "promptTokens": 3,
        "cachedTokens": 0,
        "completionTokens": 4,
        "deliveredTokens": 4,
        "totalTokens": 7,
    }
    assert (found["value"][0]["model"], found["value"][0]["failedCalls"]) == (None, 1)
    assert (found["total"]["calls"], found["total"]["totalTokens"]) == (2, 7)


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("by=operation", 1),
        ("since=2030-01-01", 1),
        ("since=2030-01-02", 0),
        ("until=2030-01-01", 1),
        ("until=2029-12-31", 0),
        ("since=2030-01-01T12:00:00Z&until=2030-01-01T12:00:01Z", 1),
        ("until=2030-01-01T12:00:00Z", 0),
        ("until=2030-01-01%2012:00:00Z", 0),
        ("until=9999-12-31", 1),
        ("model=scripted", 1),
        ("model=another", 0),
        ("by=", 1),
    ],
)
def test_usage_can_be_chosen(me: Limited, query: str, calls: int) -> None:
    me.api.post({"prompt": "abc"})
    assert get(me, f"/me/usage?{query}").json["total"]["calls"] == calls


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sinse=2030-01-01", "`sinse`"),
        (f"subscription={OTHER}", "`subscription`"),
        ("since=yesterday", "`since`"),
        ("since=2030-13-01", "`since`"),
        ("since=2030-01-01T12:00:00", "`since`"),
        ("since=0001-01-01T00:00:00%2B14:00", "`since`"),
        ("until=9999-12-31T23:59:59-14:00", "`until`"),
        ("since=2030-01-02&until=2030-01-01", "end after it begins"),
        ("since=2030-01-01&since=2030-01-01", "twice"),
        ("by=key", "summed by"),
        ("model=a%00b", "`model`"),
    ],
)
def test_a_parameter_that_is_at_fault_is_named(me: Limited, query: str, words: str) -> None:
    get(me, f"/me/usage?{query}").assert_error(400, words)


def test_nobody_else_s_is_ever_seen(me: Limited) -> None:
    me.api.post({"prompt": "abc"})
    for path in ("/me/usage", "/me/usage?by=subscription,product,operation", "/me/subscription"):
        reply = get(me, path)
        assert reply.status == 200
        assert OTHER.encode() not in reply.body
    assert get(me, "/me/usage").json["total"]["promptTokens"] == 3


@pytest.mark.parametrize("slot", ["primary", "secondary"])
def test_a_caller_replaces_its_own_key(me: Limited, slot: str) -> None:
    old = me.api.subscriptions.regenerate("caller", "secondary") if slot == "secondary" else me.api.key
    others = me.api.subscriptions.regenerate(OTHER, "secondary")
    reply = me.api.post({"key": slot}, "/me/regenerateKey")
    assert reply.status == 200
    (name, made) = next(iter(reply.json.items()))
    assert name == f"{slot}Key"
    assert (me.api.subscriptions.verify(made).subscription_id, me.api.subscriptions.verify(made).key) == (
        "caller",
        slot,
    )
    with pytest.raises(InvalidKeyError):
        me.api.subscriptions.verify(old)
    assert me.api.subscriptions.verify(others).subscription_id == OTHER


@pytest.mark.parametrize(
    "body", [{}, {"key": "both"}, {"key": None}, {"key": "primary", "subscription": OTHER}, b"no JSON"]
)
def test_a_faulty_body_replaces_nothing(me: Limited, body: object) -> None:
    me.api.post(body, "/me/regenerateKey").assert_error(400)
    assert me.api.subscriptions.verify(me.api.key).subscription_id == "caller"


ROUTES = [("GET", "/me/subscription"), ("GET", "/me/usage"), ("POST", "/me/regenerateKey")]


def send(limited: Limited, method: str, path: str, key: str | None) -> Reply:
    body = json.dumps({"key": "secondary"}).encode() if method == "POST" else None
    headers = {"Content-Type": "application/json"} if body else {}
    return limited.api.open(method, path, body=body, headers=headers, key=key)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_key_may_stand_in_the_header_or_in_the_query(me: Limited, method: str, path: str) -> None:
    assert send(me, method, path, me.api.key).status == 200
    assert send(me, method, f"{path}?subscription-key={me.api.key}", None).status == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_valid_key_nothing_is_told(me: Limited, method: str, path: str) -> None:
    send(me, method, path, None).assert_error(401, "missing subscription key")
    send(me, method, path, "0" * 32).assert_error(401, "invalid subscription key")
    me.api.subscriptions.suspend("caller")
    send(me, method, path, me.api.key).assert_error(401, "invalid subscription key")


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("valid", [True, False])
def test_no_cache_keeps_what_is_the_caller_s_own(me: Limited, method: str, path: str, *, valid: bool) -> None:
    assert send(me, method, path, me.api.key if valid else None).headers["Cache-Control"] == "no-store"
