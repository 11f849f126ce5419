"""The npm package `openai`, and curl, on OpenAI's API of the real gateway."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.openai_api import MESSAGES, MODEL, TOKENS, WRONG_KEY, Fault, base_url, each_fault
from tests.clients.programs import TIMEOUT, Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server import GatewayServer

GREEDY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": TOKENS}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="session")
def npm(npm_programs: Path) -> Program:
    return Program("npm", ("node", str(npm_programs / "ask.mjs")))


def usage_of(seen: dict[str, Any], same: dict[str, Any]) -> dict[str, Any]:
    """The part of a usage that Get Data tells as well."""
    return {name: seen["usage"][name] for name in same["usage"]}


def test_the_npm_package_gets_what_get_data_answers(
    npm: Program, gateway_server: GatewayServer, same: dict[str, Any]
) -> None:
    seen = npm.ask(gateway_server, json.dumps(GREEDY))
    assert seen["pieces"] == [same["generated_text"]]
    assert usage_of(seen, same) == same["usage"]


def test_the_npm_package_streams_the_same(npm: Program, gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    seen = npm.ask(gateway_server, json.dumps(GREEDY | STREAM))
    assert len(seen["pieces"]) > 1
    assert "".join(seen["pieces"]) == same["generated_text"]
    assert usage_of(seen, same) == same["usage"]


@each_fault
def test_faults_are_the_npm_packages_own_errors(npm: Program, gateway_server: GatewayServer, fault: Fault) -> None:
    seen = npm.ask(gateway_server, json.dumps(GREEDY | fault.fields), key=fault.key)
    assert (seen["error"], seen["status"]) == (fault.error, fault.status)
    assert fault.message in seen["message"]
    assert fault.message in seen["body"]["message"]


def curl(server: GatewayServer, path: str, *arguments: str) -> tuple[int, str]:
    """Status and body."""
    command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments, base_url(server) + path]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=True, env={"PATH": os.environ["PATH"]})
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), body


def curl_chat(server: GatewayServer, header: str, **fields: Any) -> tuple[int, str]:
    """POST a chat completion."""
    headers = ("--header", "Content-Type: application/json", "--header", header)
    return curl(server, "/chat/completions", *headers, "--data", json.dumps(GREEDY | fields))


@pytest.mark.parametrize("header", ["Authorization: Bearer", "api-key:", "Ocp-Apim-Subscription-Key:"])
def test_curl_gets_the_same_with_the_key_in_any_header(
    gateway_server: GatewayServer, same: dict[str, Any], header: str
) -> None:
    status, body = curl_chat(gateway_server, f"{header} {gateway_server.key}")
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == same["generated_text"]


def test_curl_gets_the_stream_as_openai_writes_it(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    status, body = curl_chat(gateway_server, f"Authorization: Bearer {gateway_server.key}", **STREAM)
    *events, done, rest = body.split("\n\n")
    assert (status, done, rest) == (200, "data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert usage_of(chunks.pop(), same) == same["usage"]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == same["generated_text"]


@each_fault
def test_curl_gets_both_forms_of_an_error(gateway_server: GatewayServer, fault: Fault) -> None:
    status, body = curl_chat(gateway_server, f"Authorization: Bearer {fault.key or gateway_server.key}", **fault.fields)
    told = json.loads(body)
    assert status == told["code"] == fault.status
    assert set(told) == {"code", "message", "traceId", "error"}
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert told["error"]["message"] == told["message"]
    assert fault.message in told["message"]


def test_curl_gets_the_models(gateway_server: GatewayServer) -> None:
    status, body = curl(gateway_server, "/models", "--header", f"Authorization: Bearer {gateway_server.key}")
    assert status == 200
    assert MODEL in [model["id"] for model in json.loads(body)["data"]]
    status, body = curl(gateway_server, "/models", "--header", f"Authorization: Bearer {WRONG_KEY.key}")
    assert status == 401
