"""A quota that pays for the real use of long answers refuses and cuts none; one that ends is spent to the end."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from gateway.allowances import BLOCK
from gateway.engine import Lease, Message, Sampling
from gateway.engines.vllm import VllmEngine
from tests.engine.test_leases import drain, ids_of, until_held
from tests.gateways import some_terms
from tests.real.callers import CHAT, COMPLETIONS, GET_DATA, LONG, Caller, caller_with, usage_of
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer, Reply

WAYS = [(path, stream) for path in (GET_DATA, CHAT) for stream in (False, True)]


def at_length(caller: Caller, path: str = GET_DATA, *, stream: bool = False, **fields: object) -> Reply:
    """An answer that may be as long as the context allows, and ends by itself long before."""
    more: dict[str, object] = {"stream_options": {"include_usage": True}} if stream and path != GET_DATA else {}
    return caller.ask(LONG, path, stream=stream, **{"max_tokens": 1500, **more, **fields})


def reason_of(reply: Reply) -> str:
    """How it ended."""
    text = reply.content.decode()
    bodies = [
        json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line not in {"", "data: [DONE]"}
    ]
    found = [body.get("finish_reason") for body in bodies]
    found += [choice["finish_reason"] for body in bodies for choice in body.get("choices", ())]
    (reason,) = [one for one in found if one is not None]
    return str(reason)


def together(caller: Caller, calls: int, **fields: object) -> list[Reply]:
    """Several of them at the same time, in every way."""
    with ThreadPoolExecutor(calls) as pool:
        futures = []
        for number in range(calls):
            path, stream = WAYS[number % len(WAYS)]
            futures.append(pool.submit(at_length, caller, path, stream=stream, **fields))
        return [future.result() for future in futures]


def real_use(server: GatewayServer) -> int:
    """What one of them comes to; several blocks, and far less than it may."""
    usage = usage_of(at_length(caller_with(server)))
    assert 2 * BLOCK < usage["completion_tokens"] < 1200
    return usage["total_tokens"]


@pytest.fixture(params=["managed", "pair"])
def server(request: pytest.FixtureRequest) -> GatewayServer:
    """One worker, and two on an engine that works on two requests at a time."""
    found: GatewayServer = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("limit", ["tokenQuota", "tokensPerMinute"])
def test_long_answers_are_all_served_whole_on_a_quota_that_pays_for_their_real_use(
    server: GatewayServer, limit: str
) -> None:
    each = real_use(server)
    amount = 6 * each
    caller = caller_with(
        server, **{limit: amount if limit == "tokensPerMinute" else {"amount": amount, "period": "lifetime"}}
    )
    replies = together(caller, 6)
    assert [reply.status for reply in replies] == [200] * 6, [reply.content for reply in replies]
    assert {usage_of(reply)["total_tokens"] for reply in replies} == {each}
    assert {reason_of(reply) for reply in replies} == {"stop"}
    assert caller.usage()["totalTokens"] == amount
    assert caller.open_rows() == 0


def test_a_quota_that_ends_during_answers_is_spent_to_its_last_token(server: GatewayServer) -> None:
    each = real_use(server)
    amount = 3 * each + each // 2
    caller = caller_with(server, tokenQuota={"amount": amount, "period": "lifetime"})
    replies = together(caller, 5)
    assert {reply.status for reply in replies} == {200}, [reply.content for reply in replies]
    assert sum(usage_of(reply)["total_tokens"] for reply in replies) == amount
    assert {(reason_of(reply), usage_of(reply)["total_tokens"] == each) for reply in replies} <= {
        ("stop", True),
        ("length", False),
    }
    assert caller.usage()["totalTokens"] == amount
    assert at_length(caller).status == 403


@pytest.mark.parametrize("path", [GET_DATA, CHAT, COMPLETIONS])
@pytest.mark.parametrize("stream", [False, True])
def test_a_quota_that_ends_during_one_answer_ends_it_as_length(
    managed: GatewayServer, path: str, *, stream: bool
) -> None:
    prompt = usage_of(caller_with(managed).ask(LONG, path, max_tokens=1))["prompt_tokens"]
    quota = prompt + 2 * BLOCK + 5
    caller = caller_with(managed, tokenQuota={"amount": quota, "period": "lifetime"})
    ignoring: dict[str, object] = {} if path == GET_DATA else {"ignore_eos": True}
    reply = at_length(caller, path, stream=stream, **ignoring)
    assert reason_of(reply) == "length"
    assert usage_of(reply)["total_tokens"] == quota == caller.usage()["totalTokens"]
    (row,) = caller.rows()
    assert (row["finish_reason"], row["reserved"], row["completion_tokens"]) == ("length", 0, 2 * BLOCK + 5)


@pytest.mark.parametrize("stream", [False, True])
def test_choices_grow_together_and_leave_what_they_cannot_share(managed: GatewayServer, *, stream: bool) -> None:
    prompt = usage_of(caller_with(managed).ask(LONG, CHAT, max_tokens=1))["prompt_tokens"]
    quota = prompt + 2 * (BLOCK + 40) + 1
    caller = caller_with(managed, tokenQuota={"amount": quota, "period": "lifetime"})
    reply = at_length(caller, CHAT, stream=stream, n=2, temperature=1, ignore_eos=True)
    assert usage_of(reply)["total_tokens"] == quota - 1 == caller.usage()["totalTokens"]


def test_a_long_answer_reserves_little_more_than_it_has_produced(managed: GatewayServer) -> None:
    caller = caller_with(managed, tokenQuota={"amount": 3000, "period": "lifetime"})
    with caller.stream(CHAT, ignore_eos=True) as stream:
        assert stream.event()
        (row,) = caller.rows()
        assert row["reserved"] - row["prompt_tokens"] == BLOCK
        wait_for(lambda: caller.rows()[0]["reserved"] > row["reserved"], "another block")
    wait_for(lambda: caller.open_rows() == 0, "its end")


def test_who_hangs_up_while_it_waits_for_a_quota_leaves_the_line(pair: GatewayServer) -> None:
    prompt = usage_of(caller_with(pair).ask(LONG, max_tokens=1))["prompt_tokens"]
    caller = caller_with(pair, tokenQuota={"amount": 2 * prompt + 40, "period": "lifetime"}, maxConcurrency=5)
    busy = caller_with(pair, priority=-5)
    with ExitStack() as stack:
        for _ in range(2):  # the engine is full: what is admitted behind them holds its tokens
            assert stack.enter_context(busy.stream(CHAT, ignore_eos=True)).event()
        holder = threading.Thread(target=lambda: caller.ask(LONG, max_tokens=40))
        holder.start()
        wait_for(lambda: any(row["reserved"] for row in caller.rows()), "the holder's admission")
        trace_id = secrets.token_hex(16)
        content = json.dumps({"prompt": LONG, "max_tokens": 40})
        headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01", "Ocp-Apim-Subscription-Key": caller.key}
        connection = http.client.HTTPConnection("127.0.0.1", pair.port)
        connection.request("POST", GET_DATA, content, {"Content-Type": "application/json", **headers})
        wait_for(lambda: caller.open_rows() == 2, "the other one's beginning")
        connection.close()
        assert pair.request_log(trace_id)["status"] == 499
    holder.join(60)
    assert caller.usage()["totalTokens"] == prompt + 40


@pytest.fixture
def engine(pair: GatewayServer) -> Iterator[VllmEngine]:
    """One more client of an engine that works on two requests at a time."""
    engine = VllmEngine(pair.runtime_dir, ["get-data-demo"])
    engine.start()
    wait_for(lambda: bool(engine.models()), "the engine", 120)
    yield engine
    engine.stop()


def test_what_is_held_gives_way_to_others_and_goes_on_as_if_it_never_had(
    pair: GatewayServer, engine: VllmEngine
) -> None:
    ids = engine.encode([Message("user", f"Count from 1 to 300 {secrets.token_hex(2)}")])
    asked = Sampling(max_tokens=150, temperature=0)
    whole = ids_of(drain(engine.generate(ids, asked, some_terms())))
    held = [engine.generate(ids, asked, some_terms(Lease(40, lambda: None))) for _ in range(2)]
    for one in held:
        until_held(one, 40)
    caller = caller_with(pair)
    with ThreadPoolExecutor(4) as pool:
        assert {reply.status for reply in pool.map(lambda _: caller.ask(max_tokens=30), range(4))} == {200}
    for one in held:
        one.extend(Lease(1000, lambda: None))
    assert [ids_of(drain(one)) for one in held] == [whole] * 2
