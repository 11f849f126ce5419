"""What OpenAI answers with 400 is 400 here, in both forms; the field is named, nothing repeated, and nothing breaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.bad_bodies import BOTH, CANARY, CHAT, COMPLETIONS, RAW
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.bad_bodies import Bad
    from tests.server import GatewayServer

GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Tell me about llama2"}], "max_tokens": 2},
    "/v1/completions": {"prompt": "Llama 2 is", "max_tokens": 2},
}
# Of the engine, and of its operator's command line.
INTERNALS = ("max_model_len", "_backend", " --")
CASES = [
    *(("/v1/chat/completions", bad) for bad in [*RAW, *BOTH, *CHAT]),
    *(("/v1/completions", bad) for bad in [*RAW, *BOTH, *COMPLETIONS]),
]


@pytest.fixture(scope="module")
def still_well(gateway_server: GatewayServer) -> Callable[[str], None]:
    """Asks whether an operation still answers, and whether the log knows nothing of what was sent."""

    def look(path: str) -> None:
        reply = gateway_server.post(path, GOOD[path])
        assert reply.status == 200, reply.content
        last = reply.headers["X-Trace-Id"]
        wait_for(lambda: any(last in line for line in list(gateway_server.log)), "the last line")
        assert CANARY not in "\n".join(gateway_server.log)

    return look


@pytest.mark.parametrize(("path", "bad"), CASES, ids=[f"{path[4:8]}: {bad.name}" for path, bad in CASES])
def test_a_bad_body_is_400_and_names_its_field(gateway_server: GatewayServer, path: str, bad: Bad) -> None:
    raw = bad.body if isinstance(bad.body, bytes) else json.dumps({**GOOD[path], **bad.body}).encode()
    reply = gateway_server.post(path, raw)
    assert reply.status == 400, reply.content
    body = reply.json
    assert list(body) == ["code", "message", "traceId", "error"]
    assert (body["code"], body["traceId"]) == (400, reply.headers["X-Trace-Id"])
    assert body["error"]["message"] == body["message"]
    assert body["error"]["type"] == "invalid_request_error"
    assert bad.field in body["message"]
    assert CANARY not in reply.content.decode()
    assert not [word for word in INTERNALS if word in body["message"]]
    if isinstance(bad.body, dict) and bad.field != "nested":
        assert bad.field.split(".")[0] in body["error"]["param"]


@pytest.mark.parametrize("path", GOOD)
def test_after_all_of_them_the_engine_answers_and_the_log_knows_nothing(
    path: str, still_well: Callable[[str], None]
) -> None:
    still_well(path)
