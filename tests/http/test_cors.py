"""A page in a browser may call the API, from anywhere, with its key in the header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.http.conftest import Api

ORIGIN = "https://page.example"
WANTED = "content-type, ocp-apim-subscription-key, traceparent"


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


@pytest.mark.parametrize("path", ["/Get%20Data", "/get-data", "/SYSTEM%20PROMPT%20GET%20DATA/", "/health/ready"])
def test_a_preflight_is_answered_without_a_key(api: Api, path: str) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": WANTED}
    reply = api.open("OPTIONS", path, headers=headers)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert names(reply.headers["Access-Control-Allow-Headers"]) == names(WANTED)
    assert reply.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in reply.headers


def test_a_preflight_of_an_unknown_path_is_an_error_that_a_page_may_read(api: Api) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    api.open("OPTIONS", "/nowhere", headers=headers).assert_error(404)


@pytest.mark.parametrize("stream", [True, False])
def test_a_page_may_read_an_answer_and_its_trace_id(api: Api, *, stream: bool) -> None:
    reply = api.post({"prompt": "a", "stream": stream}, Origin=ORIGIN)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert names(reply.headers["Access-Control-Expose-Headers"]) >= {"x-trace-id", "retry-after", "www-authenticate"}


@pytest.mark.parametrize(("body", "key", "status"), [(b"{}", True, 400), (b"{}", False, 401), (b"", True, 400)])
def test_a_page_may_read_an_error(api: Api, body: bytes, *, key: bool, status: int) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    reply = api.open("POST", "/get-data", body=body, headers=headers, key=api.key if key else None)
    reply.assert_error(status)
    assert "X-Trace-Id" in reply.headers["Access-Control-Expose-Headers"]


def test_a_page_may_read_that_the_gateway_failed(api: Api) -> None:
    api.answers(fail_after=0, error=RuntimeError())
    api.post({"prompt": "a"}, Origin=ORIGIN).assert_error(500)
