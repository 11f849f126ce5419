"""Idempotency-Key on the real gateway: repeats, at the same time, after a hang-up, and after deaths."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import pid_of
from tests.real.callers import CHAT, COMPLETIONS, GET_DATA, LONG, Caller, body, caller_with, database, get, usage_of
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer, Reply

AZURE = "/openai/deployments/meta%2Fllama2-70b/chat/completions"
EVERYWHERE = pytest.mark.parametrize("path", [GET_DATA, CHAT, COMPLETIONS, AZURE])
TOKENS = 100_000
QUOTA = {"amount": TOKENS, "period": "lifetime"}


def ask(caller: Caller, key: str, path: str = GET_DATA, prompt: str = "Tell me about llama2", **fields: Any) -> Reply:
    """An answer that chance has a part in, so that no two are the same; of up to 40 tokens."""
    asked = {**body(CHAT if path == AZURE else path, prompt), "temperature": 1, "max_tokens": 40, **fields}
    headers = {"Ocp_Apim_Subscription_Key": caller.key, "Idempotency_Key": key}
    return caller.server.post(path, asked, **headers)


def new_key() -> str:
    """As callers make theirs."""
    return secrets.token_hex(16)


def streamed(path: str) -> dict[str, Any]:
    """What makes a stream that tells its usage."""
    return {"stream": True} if path == GET_DATA else {"stream": True, "stream_options": {"include_usage": True}}


def until_answered(caller: Caller, key: str, **fields: Any) -> Reply:
    """As a client does that tries again: while nobody listens, and while the engine is not ready."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            reply = ask(caller, key, **fields)
            if reply.status != 503:
                return reply
        time.sleep(0.2)
    pytest.fail("no answer within 90 s")


@EVERYWHERE
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_same_key_gets_the_same_bytes_for_one_charge(managed: GatewayServer, path: str, *, stream: bool) -> None:
    caller, key, more = caller_with(managed, tokenQuota=QUOTA), new_key(), streamed(path) if stream else {}
    first = ask(caller, key, path, **more)
    spent = usage_of(first)["total_tokens"]
    again = ask(caller, key, path, **more)
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    usage = caller.usage()
    assert (usage["calls"], usage["totalTokens"]) == (1, spent)
    assert caller.left()["tokenQuota"]["remaining"] == TOKENS - spent
    line = managed.request_log(again.headers["X-Trace-Id"])
    assert (line["replayed"], line["replay_of"]) == (True, first.headers["X-Trace-Id"])
    assert key not in "\n".join(managed.log)


@EVERYWHERE
def test_the_same_key_with_another_body_is_400(managed: GatewayServer, path: str) -> None:
    caller, key = caller_with(managed), new_key()
    assert ask(caller, key, path).status == 200
    refused = ask(caller, key, path, prompt="Something else")
    assert (refused.status, refused.json["code"]) == (400, 400)
    assert "Idempotency-Key" in refused.json["message"]
    assert caller.usage()["completionTokens"] <= 40


@EVERYWHERE
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_all_who_ask_at_once_get_the_answer_of_one(pair: GatewayServer, path: str, *, stream: bool) -> None:
    caller, key, more = caller_with(pair, tokenQuota=QUOTA), new_key(), streamed(path) if stream else {}
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: ask(caller, key, path, **more), range(12)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == 11
    usage = caller.usage()
    assert (usage["calls"], usage["totalTokens"]) == (1, usage_of(replies[0])["total_tokens"])


def test_two_subscriptions_with_the_same_key_are_apart(managed: GatewayServer) -> None:
    key = new_key()
    one, other = caller_with(managed), caller_with(managed)
    assert ask(one, key).status == 200
    reply = ask(other, key, prompt="Something else")
    assert reply.status == 200
    assert "Idempotent-Replayed" not in reply.headers


@pytest.mark.parametrize("path", [GET_DATA, CHAT])
def test_who_lost_its_connection_gets_the_answer_for_one_charge(managed: GatewayServer, path: str) -> None:
    caller, key = caller_with(managed, tokenQuota=QUOTA), new_key()
    asked = {**body(path, LONG), "max_tokens": 100, **streamed(path)}
    headers = {"Ocp-Apim-Subscription-Key": caller.key, "Idempotency-Key": key, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", managed.port, timeout=60)
    with closing(connection):
        connection.request("POST", path, json.dumps(asked), headers)
        begun = connection.getresponse().read1(20)
    again = managed.post(path, asked, Ocp_Apim_Subscription_Key=caller.key, Idempotency_Key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content.startswith(begun)
    usage = caller.usage()
    assert (usage["calls"], usage["failedCalls"], usage["totalTokens"]) == (1, 0, usage_of(again)["total_tokens"])


@pytest.mark.parametrize(("path", "stream"), [(GET_DATA, False), (CHAT, True)], ids=["whole", "streamed"])
def test_after_a_killed_worker_the_same_key_is_made_anew_for_one_charge(
    managed: GatewayServer, path: str, *, stream: bool
) -> None:
    caller, key = caller_with(managed, tokenQuota=QUOTA), new_key()
    more: dict[str, Any] = {"path": path, "prompt": LONG, "max_tokens": 400, **(streamed(path) if stream else {})}
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(ask, caller, key, **more)
        wait_for(lambda: any(row["prompt_tokens"] for row in caller.rows()), "the call")
        os.kill(pid_of(managed, "worker ["), signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            cut.result(30)
    reply = until_answered(caller, key, **more)
    check_one_charge(caller, reply, "replaced")
    assert ask(caller, key, **more).content == reply.content


def test_where_one_of_two_workers_is_killed_all_who_are_answered_get_the_same(pair: GatewayServer) -> None:
    caller, key = caller_with(pair, tokenQuota=QUOTA), new_key()
    more: dict[str, Any] = {"prompt": LONG, "max_tokens": 400}

    def attempt(_: int) -> bytes | None:
        with suppress(OSError, http.client.HTTPException):  # it was on the one that is killed
            reply = ask(caller, key, **more)
            return reply.content if reply.status == 200 else None
        return None

    with ThreadPoolExecutor(8) as pool:
        attempts = pool.map(attempt, range(8))
        wait_for(lambda: any(row["prompt_tokens"] for row in caller.rows()), "the call")
        os.kill(pid_of(pair, "worker ["), signal.SIGKILL)
        answers = set(attempts) - {None}
    reply = until_answered(caller, key, **more)
    assert answers <= {reply.content}
    assert caller.usage()["totalTokens"] == usage_of(reply)["total_tokens"]
    made = [row for row in caller.rows() if row["completion_tokens"]]
    assert [row["status"] for row in made] == [200]


def test_after_a_killed_engine_the_same_key_is_made_anew_for_one_charge(managed: GatewayServer) -> None:
    caller, key = caller_with(managed, tokenQuota=QUOTA), new_key()
    more: dict[str, Any] = {"prompt": LONG, "max_tokens": 400}
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(ask, caller, key, **more)
        wait_for(lambda: any(row["prompt_tokens"] for row in caller.rows()), "the call")
        os.kill(pid_of(managed, "EngineCore"), signal.SIGKILL)
        assert cut.result(30).status == 503
    reply = until_answered(caller, key, **more)
    check_one_charge(caller, reply, "replaced")
    wait_for(lambda: get(managed, "/health/ready", {}).status == 200, "the new engine", 60)


def check_one_charge(caller: Caller, reply: Reply, finish_reason: str) -> None:
    """The call that died costs nothing any more, and is still there; the answer is charged."""
    assert reply.status == 200, reply.content
    spent = usage_of(reply)["total_tokens"]
    dead, *_, made = caller.rows()
    assert (dead["prompt_tokens"], dead["completion_tokens"], dead["finish_reason"]) == (0, 0, finish_reason)
    assert made["status"] == 200
    assert caller.usage()["totalTokens"] == spent
    assert caller.left()["tokenQuota"]["remaining"] == TOKENS - spent


def test_after_a_restart_the_same_key_gets_the_same_answer(managed: GatewayServer) -> None:
    caller, key = caller_with(managed, tokenQuota=QUOTA), new_key()
    first = ask(caller, key)
    os.kill(pid_of(managed, "worker ["), signal.SIGKILL)
    again = until_answered(caller, key)
    assert again.content == first.content
    assert caller.usage()["calls"] == 1
    wait_for(lambda: get(managed, "/health/ready", {}).status == 200, "the new worker", 60)


def test_neither_key_nor_prompt_nor_answer_is_in_the_database(managed: GatewayServer) -> None:
    caller, key, prompt = caller_with(managed), f"canary-{new_key()}", f"canary {secrets.token_hex(8)}"
    reply = ask(caller, key, prompt=prompt, temperature=0)
    with closing(sqlite3.connect(database(managed))) as connection:
        connection.execute("PRAGMA wal_checkpoint(FULL)")
        (size,) = connection.execute(
            "SELECT length(answer) FROM kept_answers WHERE subscription_id = ?", (caller.sid,)
        ).fetchone()
    assert size > 100
    stored = b"".join(path.read_bytes() for path in managed.folder.glob("gateway.sqlite3*"))
    text = reply.json["generated_text"]
    assert len(text) > 20
    for secret in (key, prompt, text):
        assert secret.encode() not in stored
