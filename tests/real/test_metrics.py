"""`GET /metrics` of the real gateway, as gunicorn's workers and vLLM fill it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer

MODEL = "get-data-demo"


def figures(server: GatewayServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample's value, by its name and labels."""
    reply = server.get("/metrics")
    assert reply.status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.content.decode())
        for sample in family.samples
    }


def test_tokens_and_times_are_those_of_the_answer(gateway_server: GatewayServer) -> None:
    about = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "get-data", "gen_ai_response_model": MODEL}
    prompt = "gateway_prompt_tokens_total", frozenset({"model": MODEL, "product": "unlimited"}.items())
    completion = "gateway_completion_tokens_total", prompt[1]
    first = "gen_ai_server_time_to_first_token_seconds_sum", frozenset(about.items())
    per_token = "gen_ai_server_time_per_output_token_seconds_count", first[1]
    before = figures(gateway_server)
    usage = gateway_server.generate("Tell me about llama2")["usage"]
    # A request is counted once its last byte is out, which its caller may read before.
    wait_for(lambda: figures(gateway_server).get(prompt, 0) > before.get(prompt, 0), "the count")
    after = figures(gateway_server)
    assert after[prompt] - before.get(prompt, 0) == usage["prompt_tokens"]
    assert after[completion] - before.get(completion, 0) == usage["completion_tokens"]
    assert after[first] - before.get(first, 0) > 0
    assert after[per_token] - before.get(per_token, 0) == 1


def test_the_engine_and_every_process_are_told_of(gateway_server: GatewayServer) -> None:
    wait_for(lambda: figures(gateway_server)["gateway_requests_running", frozenset()] == 0, "an idle gateway")
    told = figures(gateway_server)
    assert told["gateway_engine_ready", frozenset()] == 1
    assert told["gateway_engine_requests_running", frozenset()] == 0
    assert told["gateway_requests_running", frozenset()] == 0
    processes = sorted(dict(labels)["process"] for name, labels in told if name == "process_resident_memory_bytes")
    assert processes == ["engine", "engine host", "master", "worker"]
    assert not [name for name, _ in told if name.startswith("python_")]
