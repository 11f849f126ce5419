"""Traces of the real gateway: what a collector gets of it, and what the operator reads for a support case."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector import Collector, collecting
from tests.real.callers import ADMIN_TOKEN, CHAT, COMPLETIONS, GET_DATA, Caller, caller_with, database
from tests.server import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.collector import Span
    from tests.server import GatewayServer, Reply

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECOND = 1_000_000_000
EARLY = SECOND // 1000
"""How much earlier a clock may be than another one of the same machine: they are read one after the other."""


@dataclass
class Traced:
    """A gateway that exports its traces, and the collector that gets them until `stack` is closed."""

    server: GatewayServer
    collector: Collector
    stack: ExitStack


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Its engine works on one request at a time, so that a second one waits in its queue."""
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        environment = {
            "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
            "GATEWAY_ENGINE_ARGS": "--max-num-seqs 1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "300",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
        }
        with running(tmp_path_factory.mktemp("traced"), **environment) as server:
            yield Traced(server, collector, stack)


def by_name(spans: list[Span]) -> dict[str, Span]:
    """Spans that each have a name of their own."""
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


def debug_token(server: GatewayServer, sid: str) -> str:
    """A debug token for a subscription."""
    path = f"/management/subscriptions/{sid}/listDebugCredentials"
    reply = server.post(path, {"purposes": ["tracing"]}, Authorization=f"Bearer {ADMIN_TOKEN}")
    assert reply.status == 200, reply.content
    return str(reply.json["token"])


def debug_trace(server: GatewayServer, reply: Reply) -> dict[str, Any]:
    """The trace that the operator reads of an answer."""
    wanted = {"traceId": reply.headers["Apim-Trace-Id"]}
    found = server.post("/management/listTrace", wanted, Authorization=f"Bearer {ADMIN_TOKEN}")
    assert found.status == 200, found.content
    return found.json


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        (GET_DATA, {"prompt": "Count from 1 to 300"}, "chat"),
        (GET_DATA, {"prompt": "Count from 1 to 300", "stream": True}, "chat"),
        (CHAT, {"messages": [{"role": "user", "content": "Hello"}], "n": 2, "stream": True}, "chat"),
        (COMPLETIONS, {"prompt": ["Hello", "Count to 9"]}, "text_completion"),
    ],
)
def test_one_trace_holds_the_request_its_steps_queue_prefill_and_decode(
    traced: Traced, path: str, body: dict[str, object], operation: str
) -> None:
    before, monotonic = time.time_ns(), time.monotonic_ns()
    trace_id = f"{monotonic:032x}"
    fields = {**body, "max_tokens": 24, "temperature": 0.5}
    reply = traced.server.post(path, fields, traceparent=f"00-{trace_id}-{PARENT}-01")
    took = time.monotonic_ns() - monotonic
    assert reply.status == 200, reply.content
    spans = traced.collector.trace(trace_id)
    named = by_name(spans)
    root, engine = named[f"POST {path}"], named[f"{operation} get-data-demo"]
    assert (root.parent_id, root.kind, root.status) == (PARENT, 2, 0)
    steps = {span.name for span in spans if span.parent_id == root.span_id}
    assert {"key", "body", "model", "queue bound", "chat template", "token limits", "settlement"} <= steps
    assert engine.parent_id == root.span_id
    queue, prefill, decode = (named[name] for name in ("queue", "prefill", "decode"))
    assert {span.name for span in spans if span.parent_id == engine.span_id} == {"queue", "prefill", "decode"}
    # From vLLM's own times, each following on the other, inside the time that the gateway has measured.
    assert engine.start <= queue.start <= queue.end == prefill.start < prefill.end == decode.start < decode.end
    assert decode.end <= engine.end <= root.end
    assert before - EARLY <= root.start
    assert root.end - root.start <= took + SECOND
    assert engine.attributes["gen_ai.request.model"] == engine.attributes["gen_ai.response.model"] == "get-data-demo"
    assert engine.attributes["gen_ai.usage.input_tokens"] > 0
    assert 0 < engine.attributes["gen_ai.usage.output_tokens"] <= 48
    assert engine.attributes["gen_ai.request.temperature"] == 0.5
    assert engine.attributes["gen_ai.response.finish_reasons"][0] in {"stop", "length"}
    assert root.attributes["http.response.status_code"] == 200


def test_a_request_that_waits_for_the_engine_shows_its_time_in_the_queue(traced: Traced) -> None:
    caller = caller_with(traced.server)
    headers = {
        "Ocp_Apim_Subscription_Key": caller.key,
        "Apim_Debug_Authorization": debug_token(traced.server, caller.sid),
    }
    with ThreadPoolExecutor() as pool:
        with caller.stream(trace_id=TRACE, max_tokens=400) as first:
            first.event()
            second = pool.submit(traced.server.post, GET_DATA, {"prompt": "Hello", "max_tokens": 3}, **headers)
            first.rest()
        reply = second.result()
    of_first = by_name(traced.collector.trace(TRACE))
    of_second = by_name(traced.collector.trace(reply.headers["X-Trace-Id"]))
    queue, decode = of_second["queue"], of_first["decode"]
    assert queue.start < decode.end  # it came while the first was served,
    assert queue.end >= decode.end - EARLY  # and its turn came after that
    assert queue.end - queue.start > of_second["prefill"].end - of_second["prefill"].start
    backend = debug_trace(traced.server, reply)["traceEntries"]["backend"]
    assert [entry["source"] for entry in backend] == ["engine", "queue", "prefill", "decode"]


def test_only_the_gateway_exports_and_nothing_that_a_caller_or_the_model_wrote(traced: Traced) -> None:
    caller = caller_with(
        traced.server, tokenQuota={"amount": 5000, "period": "day"}, rate={"calls": 2, "seconds": 3600}
    )
    debug = debug_token(traced.server, caller.sid)
    headers = {"Ocp_Apim_Subscription_Key": caller.key, "Apim_Debug_Authorization": debug}
    replies = [
        traced.server.post(GET_DATA, {"prompt": "Tell me about llama2", "temperature": 0, "user_id": 1}, **headers),
        traced.server.post(CHAT, {"messages": [{"role": "user", "content": "canarychat"}], "canary": 1}, **headers),
        traced.server.post(GET_DATA, {"prompt": "canaryprompt"}, **headers),
    ]
    assert [reply.status for reply in replies] == [400, 400, 429]
    free = caller_with(traced.server)
    headers = {"Ocp_Apim_Subscription_Key": free.key, "Apim_Debug_Authorization": debug_token(traced.server, free.sid)}
    replies.append(traced.server.post(GET_DATA, {"prompt": "Tell me about llama2", "temperature": 0}, **headers))
    answer = "a family of large language models"
    assert answer in replies[-1].json["generated_text"]
    kept = [debug_trace(traced.server, reply) for reply in replies]
    refused = next(one["data"] for one in kept[2]["traceEntries"]["inbound"] if one["source"] == "call rate")
    assert refused["limit"] == "call_rate"
    for reply in replies:
        traced.collector.trace(reply.headers["X-Trace-Id"])
    sent = b"".join(traced.collector.bodies)
    stored = b"".join(path.read_bytes() for path in traced.server.folder.glob(f"{database(traced.server).name}*"))
    secrets = (
        "canary",
        "user_id",
        answer,
        "Tell me about",
        caller.key,
        free.key,
        debug,
        ADMIN_TOKEN,
        traced.server.key,
    )
    for secret in secrets:
        assert secret.encode() not in sent
        assert secret.encode() not in stored
        assert secret not in json.dumps(kept)
    resources = {json.dumps(span.resource, sort_keys=True) for span in traced.collector.spans}
    (resource,) = map(json.loads, resources)  # vLLM's processes have sent nothing
    assert resource["service.name"] == "get-data-gateway"
    assert resource["deployment.environment.name"] == "tests"


def test_a_collector_that_is_away_costs_nothing_and_the_last_spans_are_sent_at_the_end(traced: Traced) -> None:
    server, port = traced.server, traced.collector.port

    def told(words: str) -> int:
        return sum(words in line for line in server.log)

    traced.stack.close()
    for _ in range(3):
        began = time.monotonic()
        assert server.post(GET_DATA, {"prompt": "Hello", "max_tokens": 2}).status == 200
        assert time.monotonic() - began < 5
    wait_for(lambda: told("traces cannot be exported") == 1, "word of it", 60)
    assert not [line for line in server.log if "opentelemetry" in line or "urllib3" in line]
    with collecting(port) as collector:
        server.post(GET_DATA, {"prompt": "Hello", "max_tokens": 2})
        wait_for(lambda: told("traces are exported again") == 1, "word of its return", 60)
        last = Caller(server, "dev", server.key).ask("Hello")
        assert server.stop() == 0
        names = {span.name for span in collector.trace(last.headers["X-Trace-Id"])}
        assert {"POST /get-data", "queue", "prefill", "decode"} <= names
    assert told("traces cannot be exported") == 1
