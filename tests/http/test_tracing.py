"""The trace id: taken from the caller, or made, and on every answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.http.conftest import Api, Log

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-00",
        f"00-{TRACE}-{PARENT}-ff",
        f"  00-{TRACE}-{PARENT}-01 ",
        f"01-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-what-comes-later",
        f"fe-{TRACE}-{PARENT}-01-",
    ],
)
def test_a_valid_traceparent_gives_the_trace_id(api: Api, log: Log, traceparent: str) -> None:
    reply = api.post({"prompt": "a"}, traceparent=traceparent)
    assert reply.headers["X-Trace-Id"] == reply.json["traceId"] == log.request()["trace_id"] == TRACE
    assert api.post({}, traceparent=traceparent).assert_error(400)["traceId"] == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
        "\u0660" * 55,
    ],
)
def test_an_invalid_traceparent_is_ignored(api: Api, traceparent: str) -> None:
    found = api.post({"prompt": "a"}, traceparent=traceparent.encode().decode("latin-1")).headers["X-Trace-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", found)
    assert found != TRACE


def test_each_request_gets_a_trace_id_of_its_own(api: Api) -> None:
    assert len({api.post({"prompt": "a"}).headers["X-Trace-Id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/nowhere", "/get-data", "/%FF%00"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_every_answer_carries_the_trace_id(api: Api, method: str, path: str) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    reply = api.open(method, path, headers=headers)
    assert reply.headers["X-Trace-Id"] == TRACE
    if reply.status >= 400 and method != "HEAD":
        assert reply.assert_error(reply.status)["traceId"] == TRACE


def test_the_summary_of_a_stream_has_the_trace_id_of_its_head(api: Api) -> None:
    reply = api.post({"prompt": "a", "stream": True}, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert reply.headers["X-Trace-Id"] == TRACE
    assert f'"traceId":"{TRACE}"'.encode() in reply.body


def test_the_trace_id_that_the_server_chose_is_kept(api: Api, log: Log) -> None:
    reply = api.open("GET", "/nowhere", environ={"gateway.trace_id": TRACE})
    assert reply.assert_error(404)["traceId"] == log.request()["trace_id"] == TRACE
