"""Products' limits as a caller meets them, on real gateways."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.callers import (
    CHAT,
    COMPLETIONS,
    GET_DATA,
    LONG,
    Caller,
    body,
    caller_with,
    flask,
    manage,
    put_product,
    subscriber,
    usage_of,
)
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer, Reply

EVERYWHERE = pytest.mark.parametrize("path", [GET_DATA, CHAT, COMPLETIONS])


def told(reply: Reply, status: int, path: str) -> str:
    """The message of a refusal, which has the operation's form and a Retry-After."""
    assert reply.status == status, reply.content
    assert reply.json["code"] == status
    assert ("error" in reply.json) == (path != GET_DATA)
    if "error" in reply.json:
        assert reply.json["error"]["message"] == reply.json["message"]
    message: str = reply.json["message"]
    return message


def seconds(reply: Reply) -> int:
    """Its Retry-After."""
    return int(reply.headers["Retry-After"])


def limit_headers(reply: Reply, of: str) -> tuple[int, int, str]:
    """Limit, remaining, reset."""
    limit, remaining, reset = (reply.headers[f"x-ratelimit-{what}-{of}"] for what in ("limit", "remaining", "reset"))
    return int(limit), int(remaining), reset


def test_products_and_subscriptions_made_in_the_shell_count_at_once(managed: GatewayServer) -> None:
    product = flask(
        managed, "products", "set", "shell", "--calls-per-minute", "5", "--call-quota", "100",
        "--call-quota-period", "week", "--token-quota", "1000", "--token-quota-period", "lifetime", "--max-tokens", "3",
    )  # fmt: skip
    assert product["limits"]["callQuota"] == {"amount": 100, "period": "week"}
    made = flask(managed, "subscriptions", "create", "Made in the shell", "--product", "shell")
    caller = Caller(managed, made["id"], made["primaryKey"])
    replies = [caller.ask(max_tokens=50) for _ in range(5)]
    assert [usage_of(reply)["completion_tokens"] for reply in replies] == [3] * 5
    assert [limit_headers(reply, "requests")[:2] for reply in replies] == [(5, 4), (5, 3), (5, 2), (5, 1), (5, 0)]
    refused = caller.ask()
    assert told(refused, 429, GET_DATA) == f"Rate limit is exceeded. Try again in {seconds(refused)} seconds."
    assert 1 <= seconds(refused) <= 60
    flask(managed, "products", "set", "shell", "--calls-per-minute", "none", "--max-tokens", "none")
    assert usage_of(caller.ask(max_tokens=4))["completion_tokens"] == 4


@EVERYWHERE
def test_a_call_rate_lets_calls_through_again_after_retry_after(managed: GatewayServer, path: str) -> None:
    caller = caller_with(managed, rate={"calls": 2, "seconds": 2})
    assert limit_headers(caller.ask(path=path), "requests")[:2] == (2, 1)
    assert limit_headers(caller.ask(path=path, stream=True), "requests")[:2] == (2, 0)
    refused = caller.ask(path=path)
    wait = seconds(refused)
    assert told(refused, 429, path) == f"Rate limit is exceeded. Try again in {wait} seconds."
    assert limit_headers(refused, "requests") == (2, 0, f"{wait}s")
    time.sleep(wait)  # what the answer says to do
    assert caller.ask(path=path).status == 200


@EVERYWHERE
def test_a_call_quota_is_403_until_its_period_ends(managed: GatewayServer, path: str) -> None:
    caller = caller_with(managed, callQuota={"amount": 2, "period": "day"})
    assert caller.ask(path=path).status == 200
    assert limit_headers(caller.ask(path=path, stream=True), "requests")[:2] == (2, 0)
    refused = caller.ask(path=path, stream=True)
    found = re.fullmatch(
        r"Out of call volume quota\. Quota will be replenished in (\d\d):(\d\d):(\d\d)\.", told(refused, 403, path)
    )
    assert found
    left = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])
    assert abs(left - seconds(refused)) <= 1
    assert caller.left()["callQuota"]["remaining"] == 0


def test_a_call_that_a_limit_refuses_costs_nothing_of_a_call_quota(managed: GatewayServer) -> None:
    caller = caller_with(managed, rate={"calls": 2, "seconds": 60}, callQuota={"amount": 5, "period": "week"})
    assert [caller.ask().status for _ in range(8)] == [200, 200, *[429] * 6]
    assert caller.left()["callQuota"]["remaining"] == 3
    assert caller.usage()["failedCalls"] == 6


@EVERYWHERE
@pytest.mark.parametrize("stream", [False, True])
def test_a_token_quota_is_spent_to_the_last_token(managed: GatewayServer, path: str, *, stream: bool) -> None:
    prompt = usage_of(caller_with(managed).ask(LONG, path))["prompt_tokens"]
    amount = 2 * prompt + 20 + 7
    caller = caller_with(managed, tokenQuota={"amount": amount, "period": "lifetime"})
    first = usage_of(caller.ask(LONG, path, max_tokens=20, stream=stream, **_with_usage(path, stream=stream)))
    cut = caller.ask(LONG, path, max_tokens=20, stream=stream, **_with_usage(path, stream=stream))
    second = usage_of(cut)
    assert (first["completion_tokens"], second["completion_tokens"]) == (20, 7)
    assert '"length"' in cut.content.decode()
    assert limit_headers_of_lifetime(cut) == (amount, 0)
    assert caller.usage()["totalTokens"] == amount
    refused = caller.ask(LONG, path, stream=stream)
    message = told(refused, 403, path)
    assert message.startswith("Token quota is exceeded.")
    assert "0 are left" in message
    assert caller.usage()["totalTokens"] == amount
    assert caller.open_rows() == 0


def limit_headers_of_lifetime(reply: Reply) -> tuple[int, int]:
    """Limit and remaining; a lifetime has no reset."""
    assert "x-ratelimit-reset-tokens" not in reply.headers
    return int(reply.headers["x-ratelimit-limit-tokens"]), int(reply.headers["x-ratelimit-remaining-tokens"])


def _with_usage(path: str, *, stream: bool) -> dict[str, object]:
    return {"stream_options": {"include_usage": True}} if stream and path != GET_DATA else {}


def _without_end(path: str) -> dict[str, Any]:
    """What makes an answer as long as it may be. Get Data has nothing for it: there the prompt has to do."""
    return {} if path == GET_DATA else {"ignore_eos": True}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"n": 2, "temperature": 1}),
        (COMPLETIONS, {"n": 2, "temperature": 1}),
        (COMPLETIONS, {"prompt": [LONG, "Hello"]}),
        (COMPLETIONS, {"prompt": [LONG, LONG], "n": 2, "temperature": 1}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_share_what_is_left_of_a_quota(
    managed: GatewayServer, path: str, fields: dict[str, object], *, stream: bool
) -> None:
    # No end of its own: each choice goes on until it is cut.
    asked = {**fields, **_with_usage(path, stream=stream), "stream": stream, "ignore_eos": True}
    prompt = usage_of(caller_with(managed).ask(LONG, path, **asked))["prompt_tokens"]
    sequences = int(str(fields.get("n", 1))) * (2 if "prompt" in fields else 1)
    quota = prompt + sequences * 5 + 1
    caller = caller_with(managed, tokenQuota={"amount": quota, "period": "lifetime"})
    usage = usage_of(caller.ask(LONG, path, **{**asked, "max_tokens": 20}))
    assert usage["prompt_tokens"] == prompt
    assert usage["completion_tokens"] == sequences * 5
    assert caller.usage()["totalTokens"] == usage["total_tokens"] == quota - 1
    assert told(caller.ask(LONG, path, **asked), 403, path).startswith("Token quota is exceeded.")


@EVERYWHERE
def test_tokens_a_minute_are_429(managed: GatewayServer, path: str) -> None:
    caller = caller_with(managed, tokensPerMinute=60)
    spent = 0
    for _ in range(60):
        reply = caller.ask(path=path, max_tokens=30)
        if reply.status != 200:
            break
        spent += usage_of(reply)["total_tokens"]
        assert limit_headers(reply, "tokens")[0] == 60
    assert spent <= 60
    wait = seconds(reply)
    assert told(reply, 429, path) == f"Token limit is exceeded. Try again in {wait} seconds."
    assert 1 <= wait <= 60
    assert limit_headers(reply, "tokens")[:2] == (60, 60 - spent)
    needs = caller.ask(LONG * 20, path)
    assert "60 a minute" in told(needs, 400, path)


@EVERYWHERE
def test_calls_at_a_time_are_429_while_one_runs(managed: GatewayServer, path: str) -> None:
    caller = caller_with(managed, maxConcurrency=1)
    with caller.stream(path, max_tokens=800, **_without_end(path)) as stream:
        stream.event()
        refused = caller.ask(path=path)
        assert "at a time" in told(refused, 429, path)
        assert seconds(refused) >= 1
        assert caller.left()["maxConcurrency"]["remaining"] == 0
    wait_for(lambda: caller.open_rows() == 0, "the end of the call that was hung up")
    assert caller.ask(path=path, stream=True).status == 200
    assert caller.ask(path=path).status == 200


@EVERYWHERE
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_cut_to_the_products_max_tokens(managed: GatewayServer, path: str, *, stream: bool) -> None:
    caller = caller_with(managed, maxTokens=6)
    for asked in ({}, {"max_tokens": 400}):
        reply = caller.post(path, **body(path, LONG), stream=stream, **_with_usage(path, stream=stream), **asked)
        assert usage_of(reply)["completion_tokens"] == 6
        assert '"length"' in reply.content.decode()
    assert usage_of(caller.ask(LONG, path, max_tokens=2))["completion_tokens"] == 2


@EVERYWHERE
def test_a_model_that_the_product_does_not_have_is_403(managed: GatewayServer, path: str) -> None:
    caller = caller_with(managed, models=["meta/llama2-70b"])
    refused = caller.ask(path=path, model="get-data-demo")
    assert "`model`" in told(refused, 403, path)
    if path != GET_DATA:
        assert refused.json["error"]["param"] == "model"
        assert refused.json["error"]["code"] == "model_not_found"
    assert caller.ask(path=path, model="meta/llama2-70b").status == 200
    assert caller.ask(path=path).status == 200
    assert caller.usage()["calls"] == 3


def test_usage_is_the_sum_of_the_answers_as_soon_as_they_are_read(managed: GatewayServer) -> None:
    caller = caller_with(managed)
    expected = 0
    calls = 0
    for path in (GET_DATA, CHAT, COMPLETIONS):
        for stream in (False, True):
            for more in ({}, {"n": 2, "temperature": 1}):
                if path == GET_DATA and more:
                    continue
                asked = {**more, **_with_usage(path, stream=stream)}
                reply = caller.ask(LONG, path, stream=stream, max_tokens=9, **asked)
                expected += usage_of(reply)["total_tokens"]
                calls += 1
                found = caller.usage()
                assert (found["calls"], found["totalTokens"]) == (calls, expected), (path, stream, more)
        assert caller.ask(path=path, temperature="warm").status == 400
        calls += 1
        trace_id = f"{calls:032x}".replace("0", "c")
        with caller.stream(path, trace_id=trace_id, max_tokens=800, **_without_end(path)) as stream_:
            for _ in range(5):
                stream_.event()
        line = managed.request_log(trace_id)
        assert line["status"] == 499
        assert 0 < line["completion_tokens"] < 800
        expected += line["prompt_tokens"] + line["completion_tokens"]
        calls += 1
    found = caller.usage()
    assert (found["calls"], found["failedCalls"], found["totalTokens"]) == (calls, 6, expected)
    assert flask(managed, "usage", "--subscription", caller.sid)["total"] == found
    operators = manage(managed, "GET", f"/usage?subscription={caller.sid}&by=model,operation").json
    assert operators["total"] == found
    assert sum(one["totalTokens"] for one in operators["value"]) == expected
    for row in caller.rows():
        assert row["ended_at"] is not None
        assert row["reserved"] == 0
        assert row["delivered_tokens"] <= row["completion_tokens"]


LONG_PROMPT = " ".join(f"Llama number {number} eats grass." for number in range(60))


@EVERYWHERE
def test_a_prefix_is_reused_by_its_own_subscription_only(managed: GatewayServer, path: str) -> None:
    put_product(managed, "private")
    first, second = subscriber(managed, "private"), subscriber(managed, "private")
    prompt = f"{path} private {LONG_PROMPT}"
    for caller, again in ((first, False), (first, True), (second, False), (second, True)):
        reply = caller.ask(prompt, path)
        assert reply.status == 200, reply.content
        cached = caller.rows()[-1]["cached_tokens"]
        assert (cached > 0) == again, (path, again, cached, usage_of(reply))
        assert managed.request_log(reply.headers["X-Trace-Id"])["cached_tokens"] == cached
        assert caller.usage()["cachedTokens"] == sum(row["cached_tokens"] for row in caller.rows())


@EVERYWHERE
def test_a_product_may_share_its_prefixes(managed: GatewayServer, path: str) -> None:
    put_product(managed, "sharing", sharedCache=True)
    first, second = subscriber(managed, "sharing"), subscriber(managed, "sharing")
    prompt = f"{path} shared {LONG_PROMPT}"
    assert first.ask(prompt, path).status == second.ask(prompt, path).status == 200
    assert first.rows()[-1]["cached_tokens"] == 0
    assert second.rows()[-1]["cached_tokens"] > 0
    other = caller_with(managed, sharedCache=True)
    assert other.ask(prompt, path).status == 200
    assert other.rows()[-1]["cached_tokens"] == 0


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_a_callers_own_salt_opens_nobodys_cache(managed: GatewayServer, path: str) -> None:
    put_product(managed, "private")
    first, second = subscriber(managed, "private"), subscriber(managed, "private")
    prompt = f"{path} salted {LONG_PROMPT}"
    for caller in (first, second):
        reply = caller.ask(prompt, path, cache_salt="ours", priority=-100)
        assert reply.status == 200, reply.content
        assert caller.rows()[-1]["cached_tokens"] == 0
    assert first.ask(prompt, path, cache_salt="another").status == 200
    assert first.rows()[-1]["cached_tokens"] > 0


def test_a_call_rate_is_exact_over_two_workers(pair: GatewayServer) -> None:
    caller = caller_with(pair, rate={"calls": 5, "seconds": 60})
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda _: caller.ask(max_tokens=1), range(24)))
    assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 19


def test_a_token_quota_is_exact_over_two_workers_and_32_threads(pair: GatewayServer) -> None:
    caller = caller_with(pair, tokenQuota={"amount": 500, "period": "lifetime"})

    def hammer(number: int) -> list[Reply]:
        path = (GET_DATA, CHAT)[number % 2]
        stream = bool(number & 2)
        more = _with_usage(path, stream=stream)
        return [caller.ask("Hello", path, max_tokens=5, stream=stream, **more) for _ in range(3)]

    with ThreadPoolExecutor(32) as pool:
        replies = [reply for some in pool.map(hammer, range(32)) for reply in some]
    usages = [usage_of(reply) for reply in replies if reply.status == 200]
    spent = sum(usage["total_tokens"] for usage in usages)
    assert {reply.status for reply in replies} == {200, 403}, [reply.content for reply in replies]
    assert caller.usage()["totalTokens"] == spent <= 500
    least = min(usage["prompt_tokens"] for usage in usages) + 1
    assert 500 - spent < least  # nothing useful is left
    assert caller.open_rows() == 0


def test_a_key_that_was_replaced_or_suspended_fails_at_once_in_both_workers(pair: GatewayServer) -> None:
    put_product(pair, "plain")
    made = flask(pair, "subscriptions", "create", "To be revoked", "--product", "plain")
    old, other = Caller(pair, made["id"], made["primaryKey"]), Caller(pair, made["id"], made["secondaryKey"])

    def statuses(caller: Caller) -> set[int]:
        with ThreadPoolExecutor(12) as pool:
            return {reply.status for reply in pool.map(lambda _: caller.get("/v1/models"), range(24))}

    assert statuses(old) == statuses(other) == {200}
    new = Caller(pair, made["id"], flask(pair, "subscriptions", "regenerate-key", made["id"], "primary")["primaryKey"])
    assert statuses(old) == {401}
    assert statuses(new) == statuses(other) == {200}
    flask(pair, "subscriptions", "suspend", made["id"])
    assert statuses(new) == statuses(other) == {401}
    flask(pair, "subscriptions", "activate", made["id"])
    assert statuses(new) == {200}


class Order:
    """In which order calls were answered."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, caller: Caller) -> None:
        """Have a call wait in the engine's queue."""
        before = caller.open_rows()

        def run() -> None:
            assert caller.ask(LONG, max_tokens=20).status == 200
            with self._lock:
                self.names.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        wait_for(lambda: caller.open_rows() == before + 1, "the call's admission")

    def end(self) -> list[str]:
        """All of them, when all are answered."""
        for thread in self._threads:
            thread.join(60)
        return self.names


@pytest.fixture
def full(pair: GatewayServer) -> ExitStack:
    """An engine that is full; closing the stack lets go of it."""
    stack = ExitStack()
    busy = caller_with(pair, priority=-5)
    for _ in range(2):
        stream = stack.enter_context(busy.stream(CHAT, ignore_eos=True))
        assert stream.event()
    return stack


def test_a_product_with_a_smaller_priority_number_overtakes(pair: GatewayServer, full: ExitStack) -> None:
    patient, urgent = caller_with(pair, priority=1), caller_with(pair, priority=0)
    order = Order()
    with full:
        for number in range(4):
            order.begin(f"patient {number}", patient)
        order.begin("urgent", urgent)
    assert "urgent" in order.end()[:2]


def test_one_subscriptions_queue_does_not_keep_another_waiting(pair: GatewayServer, full: ExitStack) -> None:
    put_product(pair, "plain")
    greedy, modest = subscriber(pair, "plain"), subscriber(pair, "plain")
    order = Order()
    with full:
        for number in range(10):
            order.begin(f"greedy {number}", greedy)
        order.begin("modest", modest)
    assert order.end().index("modest") <= 3


def test_the_log_has_no_key_of_a_caller(managed: GatewayServer, pair: GatewayServer) -> None:
    for server in (managed, pair):
        caller = caller_with(server)
        trace_id = caller.ask().headers["X-Trace-Id"]
        server.request_log(trace_id)
        assert caller.key not in "\n".join(server.log)
        assert json.dumps(server.key) not in "\n".join(server.log)
