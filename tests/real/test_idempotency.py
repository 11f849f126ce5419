"""Idempotency-Key on the real gateway: repeats, at the same time, after a hang-up; deaths are in `tests/faults`."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import pid_of
from tests.real.callers import CHAT, COMPLETIONS, GET_DATA, LONG, body, caller_with, database, usage_of
from tests.real.repeats import AZURE, QUOTA, TOKENS, ask, new_key, streamed, until_answered
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer

EVERYWHERE = pytest.mark.parametrize("path", [GET_DATA, CHAT, COMPLETIONS, AZURE])


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
