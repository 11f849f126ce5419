"""Whatever is answered carries the headers that protect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.contract import SAFE_HEADERS

if TYPE_CHECKING:
    from tests.http.conftest import Api, Reply

ORIGINS = "Access-Control-Allow-Origin"


def assert_safe(reply: Reply, **other: str) -> None:
    expected = {**SAFE_HEADERS, ORIGINS: "*", **{name.replace("_", "-"): value for name, value in other.items()}}
    assert {name: reply.headers.get(name) for name in expected} == expected
    assert "Set-Cookie" not in reply.headers
    assert "Strict-Transport-Security" not in reply.headers  # for whoever ends TLS


def test_every_route_has_them_whoever_asks(api: Api) -> None:
    for rule in api.app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "<").replace("<deployment>", "scripted").replace("<id>", "scripted")
        for method in (rule.methods or set()) | {"BREW"}:
            for key in (None, api.key, "0" * 32):
                reply = api.open(method, path, body=b"{}", headers={"Content-Type": "application/json"}, key=key)
                public = path == "/openapi.json" and reply.status == 200 and method != "OPTIONS"
                assert_safe(reply, **({"Cache_Control": "public, max-age=300"} if public else {}))


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("//health/live", 404)])
def test_an_unknown_path_has_them(api: Api, path: str, status: int) -> None:
    reply = api.get(path)
    assert reply.status == status
    assert_safe(reply)


def test_an_answer_and_a_fault_have_them(api: Api) -> None:
    assert_safe(api.post({"prompt": "a"}))
    api.answers(fail_after=0, error=RuntimeError("a fault that nobody foresaw"))
    reply = api.post({"prompt": "a"})
    assert reply.status == 500
    assert_safe(reply)


def test_a_stream_has_them_and_is_not_to_be_buffered(api: Api) -> None:
    assert_safe(api.post({"prompt": "a", "stream": True}), Cache_Control="no-cache", X_Accel_Buffering="no")
