"""Calls with an Idempotency-Key, made and made again."""

from __future__ import annotations

import http.client
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.callers import CHAT, GET_DATA, body, usage_of

if TYPE_CHECKING:
    from tests.real.callers import Caller
    from tests.server import Reply

AZURE = "/openai/deployments/meta%2Fllama2-70b/chat/completions"
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
            assert int(reply.headers["Retry-After"]) >= 1
        time.sleep(0.2)
    pytest.fail("no answer within 90 s")


def check_one_charge(caller: Caller, reply: Reply) -> None:
    """The call that died costs nothing any more, and is still there; the answer is charged."""
    assert reply.status == 200, reply.content
    spent = usage_of(reply)["total_tokens"]
    dead, *_, made = caller.rows()
    assert (dead["prompt_tokens"], dead["completion_tokens"], dead["finish_reason"]) == (0, 0, "replaced")
    assert made["status"] == 200
    assert caller.usage()["totalTokens"] == spent
    assert caller.left()["tokenQuota"]["remaining"] == TOKENS - spent
