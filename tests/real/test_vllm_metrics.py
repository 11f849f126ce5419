"""vLLM's own metrics in `GET /metrics`: what two workers heard of one engine, through their death and its own."""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
from tests.processes import pid_of, processes
from tests.real.callers import CHAT, Caller
from tests.real.test_metrics import MODEL, figures
from tests.server import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """Two workers on one engine. The tests run in their order: the last ones kill."""
    with running(tmp_path_factory.mktemp("two"), GATEWAY_WORKERS="2") as server:
        wait_until_attached(server, 2)
        yield server


def attached(server: GatewayServer) -> int:
    """How often a worker has found an engine."""
    return sum("attached to engine" in line for line in server.log)


def wait_until_attached(server: GatewayServer, times: int) -> None:
    """Until workers have found an engine so often."""
    wait_for(lambda: attached(server) >= times, "workers that find the engine", 60)


def figure(server: GatewayServer, name: str, **labels: str) -> float:
    """One of vLLM's figures."""
    about = {"engine": "0", "model_name": MODEL, **labels}
    return figures(server)[f"vllm:{name}", frozenset(about.items())]


def work(server: GatewayServer) -> tuple[float, float, float]:
    """What vLLM says that the engine has in work: requests that run, that wait, the part of the KV cache in use."""
    names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    running_now, waiting, usage = (figure(server, name) for name in names)
    return running_now, waiting, usage


@contextmanager
def one_running(server: GatewayServer) -> Iterator[None]:
    """While one request runs, and vLLM's figures say so: they are written once a second, so it is a long one."""
    with Caller(server, "dev", server.key).stream(CHAT, max_tokens=1900, ignore_eos=True) as stream:
        assert stream.status == 200
        stream.event()
        wait_for(lambda: figure(server, "num_requests_running") == 1, "the request in vLLM's figures")
        yield


def ask(server: GatewayServer, *, stream: bool = False) -> dict[str, int]:
    """The usage of an answer, once vLLM's figures have it."""
    before = figure(server, "request_success_total", finished_reason="length")
    fields = {"prompt": "Count from 1 to 300", "max_tokens": 20, "temperature": 0, "stream": stream}
    reply = server.post("/get-data", fields)
    assert reply.status == 200
    wait_for(lambda: figure(server, "request_success_total", finished_reason="length") > before, "vLLM's figures")
    assert figure(server, "request_success_total", finished_reason="length") == before + 1
    found = re.search(rb'"usage":\s*(\{.*?\})', reply.content)
    assert found is not None
    usage = dict(re.findall(r'"(\w+)":\s*(\d+)', found[1].decode()))
    return {name: int(value) for name, value in usage.items()}


@pytest.mark.parametrize("stream", [False, True])
def test_vllm_sees_each_id_of_an_answer_and_how_long_it_took(two: GatewayServer, *, stream: bool) -> None:
    names = (
        *("prompt_tokens_total", "generation_tokens_total", "time_to_first_token_seconds_count"),
        *("inter_token_latency_seconds_count", "e2e_request_latency_seconds_count", "prefix_cache_queries_total"),
        *("request_queue_time_seconds_count", "request_prefill_time_seconds_count"),
        *("request_decode_time_seconds_count", "request_generation_tokens_sum"),
        *("iteration_tokens_total_count", "iteration_tokens_total_sum"),
    )
    before = {name: figure(two, name) for name in names}
    usage = ask(two, stream=stream)
    more = {name: figure(two, name) - before[name] for name in names}
    assert usage["completion_tokens"] == 20
    assert more == {
        "prompt_tokens_total": usage["prompt_tokens"],
        "generation_tokens_total": 20,
        "time_to_first_token_seconds_count": 1,
        "inter_token_latency_seconds_count": 19,
        "e2e_request_latency_seconds_count": 1,
        "prefix_cache_queries_total": usage["prompt_tokens"],
        "request_queue_time_seconds_count": 1,
        "request_prefill_time_seconds_count": 1,
        "request_decode_time_seconds_count": 1,
        "request_generation_tokens_sum": 20,
        "iteration_tokens_total_count": 20,  # steps, however few messages told of them
        "iteration_tokens_total_sum": usage["prompt_tokens"] + 20,
    }
    times = [figure(two, f"request_{part}_time_seconds_sum") for part in ("queue", "prefill", "decode")]
    assert all(seconds > 0 for seconds in times)
    assert sum(times) < figure(two, "e2e_request_latency_seconds_sum")


def test_a_repeated_prompt_is_found_in_the_prefix_cache(two: GatewayServer) -> None:
    prompt = "Tell me about llama2. " * 40  # two blocks of the cache and more
    for _ in range(2):
        assert two.post("/get-data", {"prompt": prompt, "max_tokens": 1}).status == 200
    wait_for(lambda: figure(two, "prefix_cache_hits_total") > 0, "the hits")


def test_gauges_follow_a_caller_that_comes_and_hangs_up(two: GatewayServer) -> None:
    with one_running(two):
        assert work(two)[2] > 0
    wait_for(lambda: work(two) == (0, 0, 0), "an idle engine in vLLM's figures")


def test_nothing_of_the_machine_or_of_a_caller_is_in_them(two: GatewayServer) -> None:
    ask(two)
    lines = [line for line in two.get("/metrics").content.decode().splitlines() if line.startswith("vllm:")]
    assert any(line.startswith("vllm:cache_config_info") for line in lines)
    for secret in (str(ROOT), str(two.folder), two.key, "Count", '"dev"'):
        assert secret not in "\n".join(lines)


def test_times_have_buckets_below_those_of_a_large_model(two: GatewayServer) -> None:
    for name in ("request_queue_time_seconds", "inter_token_latency_seconds"):
        bounds = [float(dict(labels)["le"]) for metric, labels in figures(two) if metric == f"vllm:{name}_bucket"]
        assert min(bounds) == 0.001
        assert len(bounds) == len(set(bounds)) > 15


def test_what_dead_workers_counted_stays_and_the_gauges_still_follow(two: GatewayServer) -> None:
    ask(two)
    before = figure(two, "generation_tokens_total")
    for worker in [pid for pid, title in processes(two).items() if "worker [" in title]:
        seen = attached(two)
        os.kill(worker, signal.SIGKILL)
        wait_until_attached(two, seen + 1)
    assert figure(two, "generation_tokens_total") == before
    assert ask(two)["completion_tokens"] == 20
    assert figure(two, "generation_tokens_total") == before + 20
    # The engine has nothing for anybody when it lets go of a request: who hears of that is not the dead first client.
    test_gauges_follow_a_caller_that_comes_and_hangs_up(two)


def test_another_engine_is_counted_where_the_one_before_ended(two: GatewayServer) -> None:
    ask(two)
    before, seen = figure(two, "generation_tokens_total"), attached(two)
    with one_running(two):
        os.kill(pid_of(two, "EngineCore"), signal.SIGKILL)
        wait_for(lambda: work(two) == (0, 0, 0), "the figures of an engine that is gone")
    wait_until_attached(two, seen + 2)
    counted = figure(two, "generation_tokens_total")
    assert counted > before  # with what the broken answer had come to
    assert ask(two)["completion_tokens"] == 20
    assert figure(two, "generation_tokens_total") == counted + 20


def test_vllms_own_flag_turns_them_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("without")
    with running(folder, GATEWAY_ENGINE_ARGS="--disable-log-stats") as server:
        assert server.post("/get-data", {"prompt": "Hello", "max_tokens": 4}).status == 200
        assert not [name for name, _ in figures(server) if name.startswith("vllm")]
