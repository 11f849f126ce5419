"""OpenAI's API over the real server: hang-ups and the log. Its clients' tests are in tests/clients."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "Count from 1 to 300"}], "temperature": 0}


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_hangs_up_frees_the_engine(gateway_server: GatewayServer, *, stream: bool) -> None:
    trace_id = f"{int(stream):032x}".replace("0", "b")
    whole = gateway_server.post(CHAT, LONG).json["usage"]["completion_tokens"]
    connection = http.client.HTTPConnection("127.0.0.1", gateway_server.port, timeout=60)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {gateway_server.key}",
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
    }
    connection.request("POST", CHAT, json.dumps({**LONG, "stream": stream}), headers)
    if stream:
        assert connection.getresponse().read(1)
    connection.close()
    line = gateway_server.request_log(trace_id)
    assert line["status"] == 499
    assert line["operation"] == "chat completions"
    assert 0 <= line["completion_tokens"] < whole
    assert line["duration_ms"] < 1000


def test_the_log_has_the_count_and_no_content(gateway_server: GatewayServer) -> None:
    canary = "glockenspiel-canary-78"
    asked = {"messages": [{"role": "user", "content": canary}], "max_tokens": 3}
    reply = gateway_server.post(CHAT, asked)
    line = gateway_server.request_log(reply.headers["X-Trace-Id"])
    usage = reply.json["usage"]
    assert (line["prompt_tokens"], line["completion_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert reply.json["id"] == f"chatcmpl-{reply.headers['X-Trace-Id']}"
    gateway_server.post(CHAT, {**asked, "temperature": canary})
    gateway_server.post(CHAT, {**asked, "tools": [{"type": canary}]})
    gateway_server.post(CHAT, {"messages": [{"role": canary, "content": canary}] * 2})
    last = gateway_server.post(CHAT, asked).headers["X-Trace-Id"]
    wait_for(lambda: any(last in line for line in gateway_server.log), "the last line")
    assert canary not in "\n".join(gateway_server.log)


def test_the_parsers_own_refusals_have_both_forms(gateway_server: GatewayServer) -> None:
    reply = gateway_server.post(CHAT, b"x" * ((1 << 20) + 1))
    assert reply.status == 413
    assert set(reply.json) == {"code", "message", "traceId", "error"}
