"""`GET /metrics`: each figure is what was done, and nothing in it tells of a caller."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.streaming import StreamBrokenError
from gateway.engines.scripted import Script
from gateway.errors import UnavailableError
from gateway.periods import Period
from gateway.products import Limits, Products, Quota, Rate
from gateway.settings import ROOT

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from tests.http.conftest import Api

CANARY = "canary"
CHAT = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "get-data", "gen_ai_response_model": "scripted"}
OURS = {"model": "scripted", "product": "unlimited"}


def families(api: Api) -> dict[str, Metric]:
    """What a scrape says, as Prometheus reads it."""
    reply = api.get("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(reply.body.decode())}


def figure(api: Api, name: str, /, **labels: str) -> float | None:
    """One sample; None where there is none with just these labels."""
    samples = [sample for family in families(api).values() for sample in family.samples if sample.name == name]
    return next((sample.value for sample in samples if sample.labels == labels), None)


def requests_counted(api: Api) -> dict[tuple[str, str, str], float]:
    """How often each operation had each status for each product, scrapes apart."""
    samples = families(api)["gateway_requests"].samples
    return {
        (one.labels["operation"], one.labels["status"], one.labels["product"]): one.value
        for one in samples
        if one.name == "gateway_requests_total" and one.labels["operation"] != "metrics"
    }


def product_key(api: Api, limits: Limits) -> tuple[str, str]:
    """A product with these limits, and the key of a new subscription to it."""
    product = f"p-{secrets.token_hex(4)}"
    Products(api.store).set(product, lambda _: limits)
    return product, api.subscriptions.create("someone", product).primary_key


def ask(api: Api, key: str | None, body: object = None, path: str = "/get-data") -> int:
    """The status of one request."""
    content = json.dumps({"prompt": "abc"} if body is None else body).encode()
    return api.open("POST", path, body=content, headers={"Content-Type": "application/json"}, key=key).status


def test_requests_are_counted_by_operation_status_and_product(api: Api) -> None:
    api.post({"prompt": "abc"})
    api.post({"prompt": "abc"}, "/Get%20Data/")
    api.post({"prompt": "abc", "stream": True}, "/system-prompt-get-data")
    api.post({"prompt": ""})
    ask(api, None)
    ask(api, secrets.token_hex(16))
    api.open("GET", "/v1/models", key=api.key)
    api.get("/health/live")
    assert requests_counted(api) == {
        ("Get Data", "200", "unlimited"): 2,
        ("System Prompt Get Data", "200", "unlimited"): 1,
        ("Get Data", "400", "unlimited"): 1,
        ("Get Data", "401", "none"): 2,
        ("models", "200", "unlimited"): 1,
        ("live", "200", "none"): 1,
    }


@pytest.mark.parametrize(
    ("method", "path"), [("POST", f"/{CANARY}"), ("GET", f"/v1/{CANARY}?x={CANARY}"), (CANARY.upper(), "/get-data")]
)
def test_what_leads_nowhere_is_one_operation(api: Api, method: str, path: str) -> None:
    api.open(method, path)
    ((operation, _, product),) = requests_counted(api)
    assert (operation, product) == ("unknown", "none")


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_counted_by_product_and_model(api: Api, *, stream: bool) -> None:
    api.answers("four")
    api.post({"prompt": "abc", "stream": stream})
    api.post({"prompt": "abcde", "stream": stream, "model": "second-name"})
    assert figure(api, "gateway_prompt_tokens_total", **OURS) == 8
    assert figure(api, "gateway_completion_tokens_total", **OURS) == 8
    assert figure(api, "gateway_cached_prompt_tokens_total", **OURS) == 0
    for way, tokens in (("input", 8), ("output", 8)):
        assert figure(api, "gen_ai_client_token_usage_sum", **CHAT, gen_ai_token_type=way) == tokens
        assert figure(api, "gen_ai_client_token_usage_count", **CHAT, gen_ai_token_type=way) == 2
    assert figure(api, "gen_ai_client_token_usage_bucket", **CHAT, gen_ai_token_type="input", le="4.0") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_times_are_the_callers(api: Api, *, stream: bool) -> None:
    def answer(_prompt: str) -> Script:
        api.clock.now += 0.25
        return Script("fours", hold_after=None)

    api.engine.script = answer
    api.post({"prompt": "abc", "stream": stream})
    assert figure(api, "gen_ai_server_time_to_first_token_seconds_sum", **CHAT) == 0.25
    assert figure(api, "gen_ai_server_time_to_first_token_seconds_bucket", **CHAT, le="0.25") == 1
    assert figure(api, "gen_ai_server_time_to_first_token_seconds_bucket", **CHAT, le="0.1") == 0
    assert figure(api, "gen_ai_server_time_per_output_token_seconds_count", **CHAT) == 1
    assert figure(api, "gen_ai_server_time_per_output_token_seconds_sum", **CHAT) == 0
    duration = figure(api, "gen_ai_server_request_duration_seconds_sum", **CHAT, error_type="")
    assert duration is not None
    assert 0 < duration < 60


def test_the_time_per_token_is_that_of_the_tokens_after_the_first(api: Api) -> None:
    api.answers("fours", hold_after=1)
    with api.stream({"prompt": "abc", "stream": True}) as stream:
        stream.take(1)
        api.clock.now += 2.0
        api.engine.release.set()
        list(stream.pieces)
    assert figure(api, "gen_ai_server_time_per_output_token_seconds_sum", **CHAT) == 0.5


def test_an_answer_of_one_token_has_no_time_per_token(api: Api) -> None:
    api.answers("a")
    api.post({"prompt": "abc"})
    assert figure(api, "gen_ai_server_time_to_first_token_seconds_count", **CHAT) == 1
    assert figure(api, "gen_ai_server_time_per_output_token_seconds_count", **CHAT) is None


def test_completions_are_the_other_operation_of_opentelemetrys(api: Api) -> None:
    api.post({"prompt": "abc", "model": "scripted"}, "/v1/completions")
    labels = {**CHAT, "gen_ai_operation_name": "text_completion"}
    assert figure(api, "gen_ai_server_request_duration_seconds_count", **labels, error_type="") == 1


def test_a_caller_that_hangs_up_is_a_499_with_the_tokens_it_cost(api: Api) -> None:
    api.answers("a long answer", hold_after=2)
    with api.stream({"prompt": "abc", "stream": True}) as stream:
        stream.take(2)
    assert requests_counted(api) == {("Get Data", "499", "unlimited"): 1}
    assert figure(api, "gateway_completion_tokens_total", **OURS) == 2
    labels = {**CHAT, "error_type": "ClientClosedRequest"}
    assert figure(api, "gen_ai_server_request_duration_seconds_count", **labels) == 1
    assert figure(api, "gen_ai_server_time_to_first_token_seconds_count", **CHAT) is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_the_engine_is_counted_under_its_class(api: Api, *, stream: bool) -> None:
    api.answers("abc", fail_after=2, error=UnavailableError("gone"))
    with pytest.raises(StreamBrokenError) if stream else contextlib.nullcontext():
        api.post({"prompt": "abc", "stream": stream})
    assert requests_counted(api) == {("Get Data", "503", "unlimited"): 1}
    labels = {**CHAT, "error_type": "UnavailableError"}
    assert figure(api, "gen_ai_server_request_duration_seconds_count", **labels) == 1


LIMITS = {
    "call_rate": (Limits(rate=Rate(1, 60)), 429),
    "call_quota": (Limits(call_quota=Quota(1, Period.WEEK)), 403),
    "tokens_per_minute": (Limits(tokens_per_minute=10), 429),
    "token_quota": (Limits(token_quota=Quota(10, Period.WEEK)), 403),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_a_limit_that_is_hit_is_counted_by_its_kind(api: Api, kind: str) -> None:
    limits, status = LIMITS[kind]
    product, key = product_key(api, limits)
    api.answers("0123456789")
    assert ask(api, key) == 200
    assert ask(api, key) == status
    assert figure(api, "gateway_limit_hits_total", limit=kind, product=product) == 1
    assert requests_counted(api) == {("Get Data", "200", product): 1, ("Get Data", str(status), product): 1}


def test_too_many_calls_at_a_time_are_a_limit_too(api: Api) -> None:
    product, key = product_key(api, Limits(max_concurrency=1))
    api.answers("abc", hold_after=1)
    first = threading.Thread(target=ask, args=(api, key))
    first.start()
    while not api.engine.running:
        first.join(0.002)
    assert ask(api, key) == 429
    assert figure(api, "gateway_requests_running") == 1
    api.engine.release.set()
    first.join()
    assert figure(api, "gateway_limit_hits_total", limit="concurrency", product=product) == 1
    assert figure(api, "gateway_requests_running") == 0


def test_a_model_outside_the_product_is_a_limit_too(api: Api) -> None:
    product, key = product_key(api, Limits(models=("scripted",)))
    assert ask(api, key, {"prompt": "abc", "model": "second-name"}) == 403
    assert figure(api, "gateway_limit_hits_total", limit="model", product=product) == 1


def test_a_refusal_that_is_no_limits_is_not_counted_as_one(api: Api) -> None:
    ask(api, None)
    api.post({"prompt": ""})
    api.post({"prompt": "a", "model": "nowhere"})
    assert families(api)["gateway_limit_hits"].samples == []


def test_the_engine_is_asked_while_it_works(api: Api) -> None:
    api.answers("abc", hold_after=1)
    with api.stream({"prompt": "abc", "stream": True}) as stream:
        stream.take(1)
        assert figure(api, "gateway_engine_requests_running") == 1
    assert figure(api, "gateway_engine_requests_running") == 0
    assert figure(api, "gateway_engine_requests_waiting") == 0
    assert figure(api, "gateway_engine_ready") == 1
    assert figure(api, "gateway_engine_state", state="ready") == 1
    assert figure(api, "gateway_engine_state", state="loading") == 0


def test_an_engine_that_is_away_is_told_and_does_not_fail_the_scrape(api: Api) -> None:
    api.engine.phase = "loading"
    assert figure(api, "gateway_engine_ready") == 0
    assert figure(api, "gateway_engine_state", state="loading") == 1
    assert figure(api, "gateway_engine_requests_running") is None


def test_the_process_is_told_of(api: Api) -> None:
    memory = [one for one in families(api)["process_resident_memory_bytes"].samples if one.value > 10_000_000]
    assert [set(one.labels) for one in memory] == [{"process", "pid"}] * len(memory)
    assert memory


def test_nothing_of_a_caller_is_told(api: Api) -> None:
    issued = api.subscriptions.create(CANARY, "unlimited", sid=f"{CANARY}-sid")
    for key in (issued.primary_key, issued.secondary_key, CANARY):
        ask(api, key, {"prompt": CANARY})
        ask(api, key, {"prompt": CANARY, "stream": True})
        ask(api, key, {"prompt": CANARY, "model": CANARY})
        ask(api, key, {CANARY: CANARY})
        ask(api, key, {"messages": [{"role": "user", "content": CANARY}], "model": CANARY}, "/v1/chat/completions")
        ask(api, key, path=f"/{CANARY}?subscription-key={key}")
        ask(api, key, {"prompt": CANARY}, f"/openai/deployments/{CANARY}/completions")
        api.open("GET", f"/v1/models/{CANARY}", key=key)
    text = api.get("/metrics").body.decode()
    assert 'operation="Get Data"' in text
    for secret in (CANARY, issued.primary_key, issued.secondary_key):
        assert secret not in text


def test_every_metric_stands_in_the_table_with_its_meaning(api: Api) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
    told = {name if family.type != "counter" else f"{name}_total" for name, family in families(api).items()}
    assert {name for name in told if not name.endswith("_created")} == documented
