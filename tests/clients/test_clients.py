"""Five real client programs against the real gateway: all see the same answers, streams and errors."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.programs import HERE, TIMEOUT, Program, Server

PROMPT = "Tell me about llama2"
SYSTEM_PROMPT = "You are supposed to be a Llama 2 expert"
UNICODE_PROMPT = "Say hello in Chinese 你好 👋 é"
GREEDY = ("--temperature", "0", "--max-tokens", "48")
MISSING_KEY = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
INVALID_KEY = (
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
)

Reference = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def reference(gateway_server: Server) -> Reference:
    """Answers to plain requests made by the test itself, each asked once: what every program must see."""
    answers: dict[str, dict[str, Any]] = {}

    def ask(path: str = "/Get%20Data", **fields: Any) -> dict[str, Any]:
        body = json.dumps({name.replace("system_prompt", "system prompt"): fields[name] for name in fields})
        if path + body not in answers:
            headers = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": gateway_server.key}
            request = urllib.request.Request(gateway_server.url + path, body.encode(), headers)
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                answers[path + body] = json.load(response)
        return answers[path + body]

    return ask


def check_answer(seen: dict[str, Any]) -> dict[str, Any]:
    """Check what holds for every plain answer; give back its body."""
    body = seen["body"]
    assert seen["status"] == 200, seen
    assert seen["contentType"].split(";")[0] == "application/json"
    assert isinstance(body, dict)
    assert body["status"] == 200
    assert body["content-type"] == "application/json"
    check_ending(seen, body)
    assert body["generated_text"].strip()
    return body


def check_ending(seen: dict[str, Any], ending: dict[str, Any]) -> None:
    """Check what a plain answer and a stream's last event share."""
    assert re.fullmatch("[0-9a-f]{32}", ending["traceId"])
    assert seen["traceId"] == ending["traceId"]
    assert ending["model"]
    assert ending["finish_reason"] in {"stop", "length"}
    usage = ending["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def check_error(seen: dict[str, Any], status: int) -> str:
    """Check what holds for every error; give back its message."""
    body = seen["body"]
    assert seen["status"] == status, seen
    assert seen["contentType"].split(";")[0] == "application/json"
    assert set(body) == {"code", "message", "traceId"}
    assert body["code"] == status
    assert re.fullmatch("[0-9a-f]{32}", body["traceId"])
    assert seen["traceId"] == body["traceId"]
    assert isinstance(body["message"], str)
    return body["message"]


def test_get_data_answers(program: Program, gateway_server: Server) -> None:
    check_answer(program.ask(gateway_server, "get-data", PROMPT))


def test_greedy_text_is_the_same_from_every_language(
    program: Program, gateway_server: Server, reference: Reference
) -> None:
    body = check_answer(program.ask(gateway_server, *GREEDY, "get-data", PROMPT))
    expected = reference(prompt=PROMPT, temperature=0, max_tokens=48)
    assert body["generated_text"] == expected["generated_text"]
    assert body["usage"] == expected["usage"]
    assert body["model"] == expected["model"]


def test_seeded_text_is_the_same_from_every_language(
    program: Program, gateway_server: Server, reference: Reference
) -> None:
    options = ("--temperature", "0.8", "--seed", "7", "--max-tokens", "24")
    body = check_answer(program.ask(gateway_server, *options, "get-data", PROMPT))
    expected = reference(prompt=PROMPT, temperature=0.8, seed=7, max_tokens=24)
    assert body["generated_text"] == expected["generated_text"]


def test_system_prompt_reaches_the_model(program: Program, gateway_server: Server, reference: Reference) -> None:
    seen = program.ask(gateway_server, *GREEDY, "system-prompt-get-data", PROMPT, SYSTEM_PROMPT)
    body = check_answer(seen)
    without = reference(prompt=PROMPT, temperature=0, max_tokens=48)
    expected = reference(
        "/System%20Prompt%20Get%20Data",
        prompt=PROMPT,
        system_prompt=SYSTEM_PROMPT,
        temperature=0,
        max_tokens=48,
    )
    assert body["generated_text"] == expected["generated_text"]
    assert body["generated_text"] != without["generated_text"]
    assert body["usage"]["prompt_tokens"] > without["usage"]["prompt_tokens"]


def test_stream_has_the_same_text_in_pieces(program: Program, gateway_server: Server, reference: Reference) -> None:
    seen = program.ask(gateway_server, "--stream", *GREEDY, "get-data", PROMPT)
    expected = reference(prompt=PROMPT, temperature=0, max_tokens=48)
    assert seen["status"] == 200, seen
    assert seen["contentType"].split(";")[0] == "text/event-stream"
    assert seen["done"] is True
    assert seen["error"] is None
    assert "".join(seen["pieces"]) == expected["generated_text"]
    assert len(seen["pieces"]) > 1
    assert seen["chunkArrivals"] > 1
    last = seen["last"]
    check_ending(seen, last)
    assert last["generated_text"] == ""
    assert last["status"] == 200
    assert last["usage"] == expected["usage"]
    assert last["finish_reason"] == expected["finish_reason"]
    assert last["model"] == expected["model"]


def test_characters_of_many_bytes_come_through(program: Program, gateway_server: Server, reference: Reference) -> None:
    body = check_answer(program.ask(gateway_server, *GREEDY, "get-data", UNICODE_PROMPT))
    expected = reference(prompt=UNICODE_PROMPT, temperature=0, max_tokens=48)
    assert body["generated_text"] == expected["generated_text"]
    assert body["usage"]["prompt_tokens"] == expected["usage"]["prompt_tokens"]


def test_wrong_key_is_refused(program: Program, gateway_server: Server) -> None:
    wrong = "".join("0123456789abcdef"[15 - int(digit, 16)] for digit in gateway_server.key)
    seen = program.ask(gateway_server, "get-data", PROMPT, key=wrong)
    assert check_error(seen, 401) == INVALID_KEY
    check_challenge(seen)


def test_missing_key_is_refused(program: Program, gateway_server: Server) -> None:
    seen = program.ask(gateway_server, "--stream", "get-data", PROMPT, key="")
    assert check_error(seen, 401) == MISSING_KEY
    check_challenge(seen)


def check_challenge(seen: dict[str, Any]) -> None:
    """Check the header that tells a client how to send the key."""
    form = r'AzureApiManagementKey realm="[^"]+",name="Ocp-Apim-Subscription-Key",type="header"'
    assert re.fullmatch(form, seen["wwwAuthenticate"])


def test_blank_prompt_is_refused_by_name(program: Program, gateway_server: Server) -> None:
    assert "prompt" in check_error(program.ask(gateway_server, "get-data", "  \n"), 400)


def test_unknown_field_is_refused_by_name(python: Program, gateway_server: Server) -> None:
    seen = python.ask(gateway_server, "--field", "temprature", "0.5", "get-data", PROMPT)
    assert "temprature" in check_error(seen, 400)


def test_system_prompt_is_no_field_of_get_data(python: Program, gateway_server: Server) -> None:
    seen = python.ask(gateway_server, "get-data", PROMPT, SYSTEM_PROMPT)
    assert "system prompt" in check_error(seen, 400)


def test_java_may_send_the_space_as_it_is(java: Program, gateway_server: Server, reference: Reference) -> None:
    # As one file, uncompiled: the form that the program's own comment shows.
    as_shown = Program("java", ("java", str(HERE / "java" / "GetData.java")))
    body = check_answer(as_shown.ask(gateway_server, "--raw-path", *GREEDY, "get-data", PROMPT))
    expected = reference(prompt=PROMPT, temperature=0, max_tokens=48)
    assert body["generated_text"] == expected["generated_text"]
    options = ("--raw-path", "--max-tokens", "4", "system-prompt-get-data")
    check_answer(java.ask(gateway_server, *options, PROMPT, SYSTEM_PROMPT))
