"""Limits as a caller meets them: in which order, with which headers, and what the ledger says afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from app.factory import create_app
from app.limits import LIMIT_HEADERS, duration
from app.streaming import GET_DATA
from gateway.engines.scripted import ScriptedEngine
from gateway.errors import UnavailableError
from gateway.keys import KeyHasher
from gateway.periods import Period
from gateway.products import Limits, Products, Quota, Rate
from gateway.store import Store, open_store
from gateway.store.tables import calls
from gateway.subscriptions import Subscriptions
from tests.gateways import PEPPER, make_gateway, make_services
from tests.http.conftest import CONTEXT_LENGTH, MAX_BODY_BYTES, REQUEST_TIMEOUT, Api, Reply
from tests.http.conftest import Clock as Monotonic
from tests.server import wait_for
from tests.store.conftest import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATE = Limits(rate=Rate(1, 60))
CALLS = Limits(call_quota=Quota(1, Period.DAY))
TOKENS = Limits(token_quota=Quota(20, Period.DAY))
MINUTE = Limits(tokens_per_minute=20)
CHAT = "/v1/chat/completions"
CHAT_BODY = {"messages": [{"role": "user", "content": "abc"}]}


@dataclass
class Limited:
    """A caller whose product has limits, on 2030-01-01 at noon."""

    api: Api
    products: Products
    clock: Clock

    def limit(self, limits: Limits) -> None:
        """What its product has from now on."""
        self.products.set("limited", lambda _old: limits)

    def ledger(self) -> list[dict[str, Any]]:
        """All calls that have ended, in the order in which they did."""
        with self.api.store.reading() as connection:
            rows = connection.execute(calls.select().where(calls.c.ended_at.is_not(None)))
            return [row._asdict() for row in rows]

    def last(self) -> dict[str, Any]:
        """The one call of the test."""
        (row,) = self.ledger()
        return row

    def open_calls(self) -> int:
        """How many are not settled."""
        with self.api.store.reading() as connection:
            return len(connection.execute(calls.select().where(calls.c.ended_at.is_(None))).all())


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Limited]:
    """A test that leaves a call unsettled, or the engine busy, fails."""
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    made = make_limited(store)
    yield made
    assert made.open_calls() == 0
    assert made.api.engine.running == 0
    store.close()


def make_limited(store: Store) -> Limited:
    clock, monotonic, engine = Clock(), Monotonic(), ScriptedEngine(context_length=CONTEXT_LENGTH)
    subscriptions, products = Subscriptions(store, KeyHasher(PEPPER), clock), Products(store)
    products.set("limited", lambda old: old)
    key = subscriptions.create("caller", "limited", sid="caller").primary_key
    gateway = make_gateway(engine, store, timeout=REQUEST_TIMEOUT, monotonic=monotonic, clock=clock, patience=0)
    app = create_app(make_services(gateway, subscriptions, store), max_body_bytes=MAX_BODY_BYTES)
    return Limited(Api(app, engine, monotonic, store, subscriptions, key), products, clock)


def limits_in(reply: Reply) -> dict[str, str]:
    """The headers on limits, without what they have in common."""
    found = {name.lower(): value for name, value in reply.headers.items()}
    return {name.removeprefix("x-ratelimit-"): found[name] for name in LIMIT_HEADERS if name in found}


def use_up(limited: Limited, limits: Limits) -> None:
    """The next call is over a limit."""
    limited.limit(limits)
    limited.api.answers("1234567890" * 2)
    assert limited.api.post({"prompt": "a"}).status == 200


def test_an_unknown_path_a_method_and_a_key_come_before_a_limit(limited: Limited) -> None:
    use_up(limited, RATE)
    limited.api.post({"prompt": "a"}, "/nowhere").assert_error(404)
    limited.api.open("GET", "/get-data", key=limited.api.key).assert_error(405)
    limited.api.open("POST", "/get-data", body=b"{}", key="0" * 32).assert_error(401)
    assert len(limited.ledger()) == 1  # none of them is a call


@pytest.mark.parametrize(("limits", "status"), [(RATE, 429), (CALLS, 403)], ids=["rate", "call quota"])
def test_a_limit_that_needs_no_body_comes_before_a_faulty_one(limited: Limited, limits: Limits, status: int) -> None:
    use_up(limited, limits)
    limited.api.post(b"no JSON").assert_error(status)


@pytest.mark.parametrize("path", ["/get-data", CHAT])
def test_a_limit_that_needs_no_body_comes_before_a_model_that_is_not_there(limited: Limited, path: str) -> None:
    use_up(limited, CALLS)
    body = {**(CHAT_BODY if path == CHAT else {"prompt": "a"}), "model": "another"}
    reply = limited.api.post(body, path)
    assert (reply.status, reply.json["message"][:25]) == (403, "Out of call volume quota.")


@pytest.mark.parametrize(("limits", "status"), [(TOKENS, 403), (MINUTE, 429)], ids=["token quota", "tokens a minute"])
def test_a_faulty_body_comes_before_a_limit_that_needs_tokens(limited: Limited, limits: Limits, status: int) -> None:
    use_up(limited, limits)
    limited.api.post(b"no JSON").assert_error(400)
    limited.api.post({"prompt": "a"}).assert_error(status)


def test_concurrency_comes_before_the_body_and_the_place_is_free_afterwards(limited: Limited) -> None:
    limited.limit(Limits(max_concurrency=1))
    limited.api.answers(hold_after=1)
    with limited.api.stream({"prompt": "a", "stream": True}) as stream:
        stream.take(1)
        reply = limited.api.post(b"no JSON")
        reply.assert_error(429, "Concurrency limit is exceeded")
        assert reply.headers["Retry-After"] == "1"
    limited.api.answers()
    assert limited.api.post({"prompt": "a"}).status == 200


def test_the_call_rate_comes_before_the_call_quota(limited: Limited) -> None:
    use_up(limited, replace(RATE, call_quota=CALLS.call_quota))
    limited.api.post({"prompt": "a"}).assert_error(429)


REFUSALS = [
    (RATE, 429, "Rate limit is exceeded. Try again in 60 seconds.", "60"),
    (CALLS, 403, "Out of call volume quota. Quota will be replenished in 12:00:00.", "43200"),
    (MINUTE, 429, "Token limit is exceeded. Try again in 60 seconds.", "60"),
    (TOKENS, 403, "Token quota is exceeded. The call needs 2 tokens at least, 0 are left.", "43200"),
]
NAMES = ["rate", "call quota", "tokens a minute", "token quota"]


@pytest.mark.parametrize(("limits", "status", "message", "retry_after"), REFUSALS, ids=NAMES)
def test_a_refusal_says_when_to_come_back(
    limited: Limited, limits: Limits, status: int, message: str, retry_after: str
) -> None:
    use_up(limited, limits)
    reply = limited.api.post({"prompt": "a"})
    reply.assert_error(status, message)
    assert reply.headers["Retry-After"] == retry_after


@pytest.mark.parametrize(("limits", "status", "message", "retry_after"), REFUSALS, ids=NAMES)
def test_openai_s_clients_read_a_refusal_in_their_form_too(
    limited: Limited, limits: Limits, status: int, message: str, retry_after: str
) -> None:
    use_up(limited, limits)
    reply = limited.api.post({"messages": [{"role": "user", "content": "a"}]}, CHAT)
    assert (reply.status, reply.headers["Retry-After"]) == (status, retry_after)
    assert message in reply.json["message"]
    assert reply.json["code"] == status
    error = reply.json["error"]
    assert error["message"] == reply.json["message"]
    assert error["type"] == ("rate_limit_error" if status == 429 else "insufficient_quota")


@pytest.mark.parametrize("path", ["/get-data", CHAT])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_tells_what_is_left(limited: Limited, path: str, *, stream: bool) -> None:
    limited.limit(Limits(rate=Rate(5, 60), tokens_per_minute=100))
    body = CHAT_BODY if path == CHAT else {"prompt": "abc"}
    reply = limited.api.post({**body, "max_tokens": 7, "stream": stream}, path)
    assert reply.status == 200
    assert limits_in(reply) == {
        "limit-requests": "5",
        "remaining-requests": "4",
        "reset-requests": "1m0s",
        "limit-tokens": "100",
        "remaining-tokens": "90",
        "reset-tokens": "1m0s",
    }


def test_quotas_are_told_where_there_is_no_shorter_limit(limited: Limited) -> None:
    limited.limit(replace(TOKENS, call_quota=Quota(3, Period.LIFETIME)))
    assert limits_in(limited.api.post({"prompt": "abc", "max_tokens": 7})) == {
        "limit-requests": "3",
        "remaining-requests": "2",
        "limit-tokens": "20",
        "remaining-tokens": "10",
        "reset-tokens": "12h0m0s",
    }


def test_without_limits_nothing_is_told_of_them(limited: Limited) -> None:
    assert limits_in(limited.api.post({"prompt": "abc"})) == {}


@pytest.mark.parametrize(
    ("limits", "of"),
    [(RATE, "requests"), (CALLS, "requests"), (MINUTE, "tokens"), (TOKENS, "tokens")],
    ids=NAMES,
)
def test_a_refusal_tells_that_nothing_is_left(limited: Limited, limits: Limits, of: str) -> None:
    use_up(limited, limits)
    found = limits_in(limited.api.post({"prompt": "a"}))
    assert set(found) == {f"limit-{of}", f"remaining-{of}", f"reset-{of}"}
    assert found[f"remaining-{of}"] == "0"


def test_a_faulty_body_is_told_what_is_left_of_the_calls(limited: Limited) -> None:
    limited.limit(Limits(rate=Rate(5, 60)))
    reply = limited.api.post(b"no JSON")
    reply.assert_error(400)
    assert limits_in(reply)["remaining-requests"] == "4"


def test_a_page_may_read_the_headers_on_limits(limited: Limited) -> None:
    reply = limited.api.post({"prompt": "a"}, Origin="https://example.org")
    exposed = {name.strip().lower() for name in reply.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {*LIMIT_HEADERS, "retry-after"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.2, "1s"), (59.1, "1m0s"), (3600, "1h0m0s"), (90_061, "1d1h1m1s"), (-5, "0s")]
)
def test_a_reset_is_written_as_openai_writes_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_answer_is_cut_to_what_the_quota_leaves(limited: Limited) -> None:
    limited.limit(TOKENS)
    limited.api.answers("x" * 50)
    reply = limited.api.post({"prompt": "abcde"})
    assert reply.json["finish_reason"] == "length"
    assert reply.json["usage"] == {"prompt_tokens": 5, "completion_tokens": 15, "total_tokens": 20}


def test_the_product_s_largest_answer_cuts(limited: Limited) -> None:
    limited.limit(Limits(max_tokens=4))
    limited.api.answers("x" * 50)
    assert limited.api.post({"prompt": "a", "max_tokens": 30}).json["usage"]["completion_tokens"] == 4


def test_a_model_outside_the_product_is_403_and_not_told_from_the_others_by_its_cost(limited: Limited) -> None:
    limited.limit(Limits(models=("second-name",)))
    limited.api.post({"prompt": "a", "model": "scripted"}).assert_error(403, "`model`", "second-name")
    assert limited.last()["status"] == 403


def test_a_new_window_lets_a_caller_in_again(limited: Limited) -> None:
    use_up(limited, CALLS)
    limited.api.post({"prompt": "a"}).assert_error(403)
    limited.clock.advance(hours=12)
    assert limited.api.post({"prompt": "a"}).status == 200


def test_the_ledger_has_a_row_for_a_whole_answer(limited: Limited) -> None:
    limited.api.answers("four")
    reply = limited.api.post({"prompt": "abc"}, "/System%20Prompt%20Get%20Data")
    row = limited.last()
    assert row["trace_id"] == reply.headers["X-Trace-Id"]
    assert (row["subscription_id"], row["product_id"], row["key_slot"]) == ("caller", "limited", "primary")
    assert (row["operation"], row["model"]) == ("System Prompt Get Data", "scripted")
    assert (row["status"], row["finish_reason"], row["reserved"]) == (200, "stop", 0)
    assert (row["prompt_tokens"], row["completion_tokens"], row["delivered_tokens"]) == (3, 4, 4)


@pytest.mark.parametrize("path", ["/get-data", CHAT])
def test_a_stream_delivers_what_was_read_of_it(limited: Limited, path: str) -> None:
    limited.api.answers("four")
    body = CHAT_BODY if path == CHAT else {"prompt": "abc"}
    with limited.api.stream({**body, "stream": True}, path=path) as stream:
        list(stream.pieces)
        # Before its end is sent it is written: there is nothing left to settle.
        assert limited.last()["delivered_tokens"] == 4
    assert (limited.last()["status"], limited.last()["completion_tokens"]) == (200, 4)


def test_what_is_used_is_seen_before_the_last_byte(limited: Limited) -> None:
    limited.api.answers("four")
    with limited.api.stream({"prompt": "a", "stream": True}) as stream:
        stream.take(4)
        assert limited.ledger() == []
        stream.take(1)
        assert limited.last()["completion_tokens"] == 4


def test_a_caller_that_hangs_up_pays_for_what_was_produced(limited: Limited) -> None:
    limited.api.answers("eight...", hold_after=6)
    with limited.api.stream({"prompt": "abc", "stream": True}) as stream:
        stream.take(3)
    row = limited.last()
    assert (row["status"], row["finish_reason"]) == (499, None)
    assert (row["prompt_tokens"], row["delivered_tokens"]) == (3, 2)  # it read a third piece, and then no more
    assert 3 <= row["completion_tokens"] <= 6


def test_a_caller_that_is_gone_before_the_first_byte_is_settled(limited: Limited) -> None:
    limited.api.answers(hold_after=1)
    with limited.api.stream({"prompt": "abc", "stream": True}):
        assert limited.open_calls() == 1
    row = limited.last()
    assert (row["status"], row["completion_tokens"], row["delivered_tokens"]) == (499, 1, 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"no JSON", 400), (b"x" * (MAX_BODY_BYTES + 1), 413), (b'{"prompt": "a", "model": "none"}', 404)],
    ids=["faulty", "too large", "no such model"],
)
def test_a_call_that_is_refused_for_its_body_has_a_row_and_costs_no_tokens(
    limited: Limited, sent: bytes, status: int
) -> None:
    limited.limit(Limits(call_quota=Quota(10, Period.DAY)))
    assert limited.api.post(sent).status == status
    row = limited.last()
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == (status, 0, 0)


def test_a_call_that_a_limit_refuses_has_a_row(limited: Limited) -> None:
    use_up(limited, RATE)
    limited.api.post({"prompt": "a"})
    assert [row["status"] for row in limited.ledger()] == [200, 429]


@pytest.mark.parametrize("path", ["/get-data", CHAT])
def test_an_engine_that_does_not_take_a_call_costs_nothing(
    limited: Limited, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise UnavailableError("full", retry_after=1)

    monkeypatch.setattr(limited.api.engine, "generate", full)
    limited.limit(replace(TOKENS, call_quota=Quota(1, Period.DAY)))
    body = CHAT_BODY if path == CHAT else {"prompt": "abc"}
    for _ in range(2):  # nor is it a call of the quota's
        assert limited.api.post(body, path).status == 503
    assert [(row["status"], row["prompt_tokens"]) for row in limited.ledger()] == [(503, 0)] * 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("error", "status"), [(UnavailableError("dead"), 503), (RuntimeError("a bug"), 500)])
def test_an_answer_that_fails_has_the_status_of_its_failure_in_the_ledger(
    limited: Limited, error: Exception, status: int, *, stream: bool
) -> None:
    limited.api.answers("eight...", fail_after=3, error=error)
    if stream:
        with limited.api.stream({"prompt": "abc", "stream": True}) as broken:
            broken.take(4)
    else:
        limited.api.post({"prompt": "abc"}).assert_error(status)
    row = limited.last()
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == (status, 3, 3)
    assert row["delivered_tokens"] == (3 if stream else 0)


def test_an_answer_that_is_too_late_is_504_in_the_ledger(limited: Limited) -> None:
    limited.api.answers(hold_after=2)
    script = limited.api.engine.script

    def late(prompt: str) -> Any:
        limited.api.clock.now += REQUEST_TIMEOUT
        return script(prompt)

    limited.api.engine.script = late
    limited.api.post({"prompt": "abc"}).assert_error(504)
    row = limited.last()
    assert (row["status"], row["delivered_tokens"]) == (504, 0)


def test_a_fault_in_the_view_is_settled(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    limited.limit(Limits(max_concurrency=1))
    monkeypatch.setattr(limited.api.engine, "encode", broken)
    limited.api.post({"prompt": "abc"}).assert_error(500)
    assert limited.last()["status"] == 500


def test_an_answer_that_cannot_be_written_is_not_delivered(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(GET_DATA, "whole", broken)
    limited.api.answers("four")
    limited.api.post({"prompt": "abc"}).assert_error(500)
    row = limited.last()
    assert (row["status"], row["completion_tokens"], row["delivered_tokens"]) == (500, 4, 0)


def test_what_a_call_reserved_is_free_once_it_is_over(limited: Limited) -> None:
    limited.limit(TOKENS)
    limited.api.answers("eight...", hold_after=2)
    with limited.api.stream({"prompt": "abc", "stream": True}) as stream:
        stream.take(1)
        limited.api.post({"prompt": "abc"}).assert_error(429, "reserved by calls that run")
    wait_for(lambda: limited.api.engine.running == 0, "the engine")
    limited.api.answers("x")
    assert limited.api.post({"prompt": "abc"}).status == 200


def test_the_trace_of_a_call_is_in_its_row(limited: Limited) -> None:
    reply = limited.api.post(json.dumps({"prompt": "a"}).encode(), traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert reply.status == 200
    assert limited.last()["trace_id"] == "a" * 32
