"""One line for each request, and nothing in any line that is the caller's own."""

from __future__ import annotations

import json
import secrets
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.engines.scripted import Script
from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from tests.http.conftest import Api, Log

KEY = secrets.token_hex(16)
CANARY = "canary-prompt"
COMMON = {"event", "level", "logger", "timestamp", "trace_id", "operation", "subscription", "status", "duration_ms"}
GENERATED = {
    "model",
    "stream",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "finish_reason",
    "time_to_first_token_ms",
}


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_is_one_line_with_who_what_and_how_much(api: Api, log: Log, *, stream: bool) -> None:
    def answer(_prompt: str) -> Script:
        api.clock.now += 0.25
        return Script("four", hold_after=None)

    api.engine.script = answer
    reply = api.post({"prompt": "abc", "stream": stream}, "/System%20Prompt%20Get%20Data")
    line = log.request()
    assert set(line) == COMMON | GENERATED
    assert line["trace_id"] == reply.headers["X-Trace-Id"]
    assert (line["operation"], line["subscription"], line["status"]) == ("System Prompt Get Data", "tests", 200)
    assert (line["model"], line["stream"], line["finish_reason"]) == ("scripted", stream, "stop")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 4)
    assert line["time_to_first_token_ms"] == 250.0
    assert line["duration_ms"] > 0
    assert line["level"] == "info"
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    assert len(log.lines) == 1


def test_the_time_is_until_the_last_byte_was_out_where_the_server_says_when(api: Api, log: Log) -> None:
    answered = time.monotonic() + 100  # the line itself is written before that, and in a worker after it
    api.open(
        "POST",
        "/get-data",
        body=b'{"prompt": "abc"}',
        headers={"Content-Type": "application/json"},
        environ={"gateway.answered": answered},
        key=api.key,
    )
    assert 90_000 < log.request()["duration_ms"] <= 100_000


def test_a_stream_is_logged_when_it_is_over(api: Api, log: Log) -> None:
    with api.stream({"prompt": "a", "stream": True}) as stream:
        stream.take(1)
        assert log.text == ""
        list(stream.pieces)
    assert log.request()["status"] == 200


@pytest.mark.parametrize(
    ("sent", "subscription", "expected"),
    [
        (("POST", "/get-data", b"{}"), "tests", (400, "Get Data", "InvalidRequestError")),
        (("POST", "/get-data", b"x" * 20_000), "tests", (413, "Get Data", "BodyTooLarge")),
        (("POST", "/get-data", b"{}"), None, (401, "Get Data", "MissingKeyError")),
        (("GET", "/get-data", None), None, (405, None, "MethodNotAllowed")),
        (("GET", "/nowhere", None), None, (404, None, "NotFound")),
    ],
)
def test_a_refused_request_is_one_line_with_the_class_of_the_fault(
    api: Api, log: Log, sent: tuple[str, str, bytes | None], subscription: str | None, expected: tuple[object, ...]
) -> None:
    method, path, body = sent
    key = api.key if subscription else None
    api.open(method, path, body=body, headers={"Content-Type": "application/json"}, key=key)
    line = log.request()
    assert set(line) == COMMON | {"error", "detail"}
    assert (line["status"], line["operation"], line["error"]) == expected
    assert line["subscription"] == subscription
    assert len(log.lines) == 1


def test_why_a_key_was_denied_is_told_to_the_operator_only(api: Api, log: Log) -> None:
    reply = api.open("POST", "/get-data", key=KEY)
    assert log.request()["detail"] == "no subscription has this key"
    assert b"no subscription" not in reply.body


def test_probes_do_not_fill_the_log(api: Api, log: Log) -> None:
    api.get("/health/live")
    api.get("/health/ready")
    api.engine.phase = "loading"
    api.get("/health/ready")
    assert log.text == ""


def test_what_a_thread_logs_after_a_request_is_not_put_under_its_trace_id(api: Api, log: Log) -> None:
    api.post({"prompt": "a"})
    structlog.get_logger("elsewhere").info("something else")
    assert "trace_id" not in log.lines[-1]


BODIES: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": CANARY},
    "streamed prompt": {"prompt": CANARY, "stream": True},
    "system prompt": {"prompt": "a", "system prompt": CANARY},
    "stop": {"prompt": CANARY, "stop": CANARY},
    "schema": {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {"schema": {CANARY: KEY}}}},
    "unknown field": {"prompt": "a", CANARY: KEY, KEY: CANARY},
    "unknown nested field": {"prompt": "a", "response_format": {"type": "text", KEY + CANARY: 1}},
    "model": {"prompt": "a", "model": CANARY + KEY},
    "wrong type": {"prompt": "a", "temperature": CANARY + KEY},
    "not in the choice": {"prompt": "a", "response_format": {"type": CANARY + KEY}},
    "surrogate": {"prompt": CANARY + "\ud800", KEY: KEY},
    "too long": {"prompt": (CANARY + KEY) * 100},
    "blank": {"prompt": " ", "system prompt": CANARY},
}


def assert_nothing_told(log: Log) -> None:
    assert log.request()
    assert CANARY not in log.text
    assert KEY not in log.text


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nothing_of_a_body_reaches_the_log(api: Api, log: Log, body: object) -> None:
    api.answers(f"{CANARY} {KEY}")
    api.post(body, "/system-prompt-get-data")
    assert_nothing_told(log)


@pytest.mark.parametrize("raw", [f'{{"prompt": "{CANARY}" {KEY}', f'{{"{CANARY}": 1, "{CANARY}": "{KEY}"}}', CANARY])
def test_nothing_of_a_broken_body_reaches_the_log(api: Api, log: Log, raw: str) -> None:
    api.post(raw.encode())
    assert_nothing_told(log)


@pytest.mark.parametrize(
    "header",
    [
        "Ocp-Apim-Subscription-Key",
        "Authorization",
        "api-key",
        "Cookie",
        "traceparent",
        "tracestate",
        "Host",
        "Origin",
        "Referer",
        "User-Agent",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-For",
        "Accept",
        CANARY,
    ],
)
def test_nothing_of_a_header_reaches_the_log(api: Api, log: Log, header: str) -> None:
    api.post({"prompt": "a"}, **{header: f"{KEY}{CANARY}"})
    assert_nothing_told(log)


@pytest.mark.parametrize(
    "path",
    [
        f"/get-data?subscription-key={KEY}",
        f"/get-data?subscription%2Dkey={KEY}&prompt={CANARY}",
        f"/get-data?{KEY}={CANARY}",
        f"/{KEY}/{CANARY}",
        f"/get-data/{CANARY}?subscription-key={KEY}",
        f"/health/ready/{CANARY}",
    ],
)
def test_nothing_of_a_url_reaches_the_log(api: Api, log: Log, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    api.open("POST", path, body=json.dumps({"prompt": CANARY}).encode(), headers=headers)
    assert_nothing_told(log)


def test_neither_a_valid_key_nor_the_answer_reaches_the_log(api: Api, log: Log) -> None:
    api.answers(CANARY)
    api.open("POST", f"/get-data?subscription-key={api.key}", body=b'{"prompt": "a"}', key=api.key)
    api.post({"prompt": "a", "stream": True})
    assert len(log.lines) == 2
    assert api.key not in log.text
    assert CANARY not in log.text


@pytest.mark.parametrize("error", [RuntimeError(CANARY + KEY), UnavailableError(CANARY + KEY), KeyError(KEY, CANARY)])
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("stream", [True, False])
def test_the_text_of_a_failure_does_not_reach_the_log(
    api: Api, log: Log, error: Exception, after: int, *, stream: bool
) -> None:
    api.answers(fail_after=after, error=error)
    if stream and after:
        with api.stream({"prompt": "a", "stream": True}) as broken:
            broken.take(after + 1)
    else:
        api.post({"prompt": "a", "stream": stream})
    assert_nothing_told(log)
