"""What the tests of OpenAI's clients share: one question, three faults, and requests that can be found in the log."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionUserMessageParam

    from tests.server import GatewayServer

MODEL = "meta/llama2-70b"
PROMPT = "Tell me about llama2"
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": PROMPT}]
TOKENS = 16


@dataclass(frozen=True)
class Fault:
    """A request that is refused.

    Attributes:
        status: the answer's.
        message: ours, word for word.
        error: what OpenAI's packages call it.
        key: in place of the right one.
        fields: what is wrong in the body.
    """

    status: int
    message: str
    error: str
    key: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


WRONG_KEY = Fault(
    401,
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.",
    "AuthenticationError",
    key="0123456789abcdef0123456789abcdef",
)
WRONG_MODEL = Fault(
    404,
    "Field `model` names no model that is served here. Served are: get-data-demo, meta/llama2-70b.",
    "NotFoundError",
    fields={"model": "meta/llama2-7b"},
)
BAD_TEMPERATURE = Fault(400, "temperature must be in [0, 2], got 3.0.", "BadRequestError", fields={"temperature": 3})

each_fault = pytest.mark.parametrize(
    "fault", [WRONG_KEY, WRONG_MODEL, BAD_TEMPERATURE], ids=["key", "model", "temperature"]
)


class Trace(NamedTuple):
    """A request's place in the log, and the header that puts it there."""

    trace_id: str
    headers: dict[str, str]


def new_trace() -> Trace:
    """A trace of the caller's own making."""
    trace_id = secrets.token_hex(16)
    return Trace(trace_id, {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})


def base_url(server: GatewayServer) -> str:
    """What the clients of OpenAI's API call so."""
    return f"{server.url}/v1"
