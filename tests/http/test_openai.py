"""OpenAI's API over a scripted engine: keys, errors in both forms, streams, the log. Its real clients are elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.contract import OpenAIError
from app.streaming import StreamBrokenError
from gateway.errors import InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from tests.http.conftest import Api, Log, Reply

CHAT = "/v1/chat/completions"
PATHS = [CHAT, "/v1/completions", "/openai/deployments/scripted/chat/completions?api-version=2024-02-01"]
BODY = {"messages": [{"role": "user", "content": "abc"}], "prompt": "abc"}


def ask(api: Api, path: str = CHAT, body: object = BODY, **headers: str) -> Reply:
    raw = json.dumps(body).encode()
    return api.open("POST", path, body=raw, headers={"Content-Type": "application/json", **headers})


def assert_both_forms(reply: Reply, status: int, param: str | None = None) -> dict[str, Any]:
    body = reply.json
    assert reply.status == status, body
    assert list(body) == ["code", "message", "traceId", "error"]
    assert body["code"] == status
    assert body["traceId"] == reply.headers["X-Trace-Id"]
    error = body["error"]
    assert error["message"] == body["message"]
    assert error["param"] == param
    assert isinstance(error["type"], str)
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", ["Ocp-Apim-Subscription-Key", "api-key", "Authorization"])
def test_every_header_of_its_clients_carries_the_key(api: Api, path: str, header: str) -> None:
    key = f"Bearer {api.key}" if header == "Authorization" else api.key
    reply = ask(api, path, **{header: key})
    assert reply.status == 200, reply.body
    assert reply.json["choices"][0]["message"]["content"] == "An answer."


def test_the_query_parameter_carries_the_key_too(api: Api) -> None:
    assert ask(api, f"{CHAT}?subscription-key={api.key}").status == 200


def test_the_header_of_apim_wins(api: Api) -> None:
    wrong = {"Ocp-Apim-Subscription-Key": "0" * 32, "Authorization": f"Bearer {api.key}"}
    assert_both_forms(ask(api, CHAT, **wrong), 401)


def test_a_bearer_is_no_key_elsewhere(api: Api) -> None:
    reply = ask(api, "/get-data", {"prompt": "abc"}, Authorization=f"Bearer {api.key}")
    reply.assert_error(401)


def test_without_a_key_nothing_is_learned_about_the_body(api: Api) -> None:
    for body in (b"", b"[]", b"{"):
        reply = api.open("POST", CHAT, body=body)
        assert assert_both_forms(reply, 401)["code"] == "invalid_api_key"
        assert "missing subscription key" in reply.json["message"]
        assert reply.headers["WWW-Authenticate"].startswith("AzureApiManagementKey")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/openai", "/openai/nothing"])
def test_a_path_that_is_not_there_is_told_in_both_forms(api: Api, path: str) -> None:
    assert_both_forms(api.open("GET", path), 404)


@pytest.mark.parametrize("path", ["/v1x", "/openai.json", "/"])
def test_other_paths_know_one_form_only(api: Api, path: str) -> None:
    assert "error" not in api.open("POST", path).json


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/scripted"])
def test_models_need_a_key(api: Api, path: str) -> None:
    assert_both_forms(api.open("GET", path), 401)


def test_models_are_listed_and_found(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}
    listed = api.open("GET", "/v1/models", headers=headers).json
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["scripted", "second-name"]
    found = api.open("GET", "/v1/models/second-name", headers=headers).json
    assert found == listed["data"][1]
    assert found["object"] == "model"
    assert found["root"] == "scripted"
    missing = api.open("GET", "/v1/models/meta/none", headers=headers)
    assert assert_both_forms(missing, 404, "model")["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**BODY, "model": 3}, "model"),
        ({**BODY, "stream": "yes"}, "stream"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_bad_field_is_named_in_both_forms(api: Api, body: object, param: str) -> None:
    reply = api.post(body, CHAT)
    assert assert_both_forms(reply, 400, param)["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(api: Api) -> None:
    reply = api.post({**BODY, "model": "none"}, CHAT)
    assert assert_both_forms(reply, 404, "model")["code"] == "model_not_found"
    deployment = api.post(BODY, "/openai/deployments/none/chat/completions")
    assert_both_forms(deployment, 404, "model")


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff"])
def test_a_malformed_body_is_400_in_both_forms(api: Api, raw: bytes) -> None:
    assert_both_forms(api.post(raw, CHAT), 400, "a" if b'"a"' in raw else None)


def test_flasks_own_refusals_have_both_forms(api: Api) -> None:
    assert_both_forms(api.open("GET", CHAT), 405)
    assert_both_forms(api.open("GET", "/v1/nothing"), 404)
    api.open("GET", "/nothing").assert_error(404)


def test_an_engine_that_is_not_ready_is_503(api: Api) -> None:
    api.engine.phase = "loading"
    reply = api.post(BODY, CHAT)
    assert_both_forms(reply, 503)
    assert int(reply.headers["Retry-After"]) > 0


def test_a_stream_is_chunks_and_then_done(api: Api, log: Log) -> None:
    api.answers("four")
    reply = api.post({**BODY, "stream": True}, CHAT)
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.headers["X-Accel-Buffering"] == "no"
    *events, done, rest = reply.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    deltas = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"] for event in events]
    assert deltas == list("four")
    line = log.request()
    assert line["operation"] == "chat completions"
    assert (line["prompt_tokens"], line["completion_tokens"], line["finish_reason"]) == (3, 4, "stop")


def test_a_failing_stream_tells_an_error_and_no_end(api: Api, log: Log) -> None:
    api.answers("four", fail_after=2, error=UnavailableError("The model failed.", retry_after=5))
    with api.stream({**BODY, "stream": True}, path=CHAT) as stream:
        *_, last = stream.take(3)
        body = json.loads(last.removeprefix(b"data: "))
        assert (body["code"], body["error"]["message"]) == (503, "The model failed.")
        with pytest.raises(StreamBrokenError):  # so that the server cuts the chunked body
            next(stream.pieces)
    assert log.request()["status"] == 503


def test_a_caller_may_leave_once_the_engine_has_ended(api: Api, log: Log) -> None:
    api.answers("four")
    with api.stream({**BODY, "stream": True}, path=CHAT) as stream:
        stream.take(4)  # as ChatNVIDIA does, which reads neither the usage nor `[DONE]`
    line = log.request()
    assert (line["status"], line["completion_tokens"], line["finish_reason"]) == (200, 4, "stop")


def test_an_error_before_the_first_chunk_has_a_status(api: Api) -> None:
    api.answers("four", fail_after=0, error=InvalidRequestError("No.", param="prompt"))
    assert_both_forms(api.post({**BODY, "stream": True}, CHAT), 400, "prompt")


def test_every_status_has_a_type() -> None:
    assert OpenAIError.of(400, param="n") == OpenAIError("invalid_request_error", None, "n")
    assert OpenAIError.of(403, param="model").code == OpenAIError.of(404, param="model").code == "model_not_found"
    assert OpenAIError.of(403).code == "insufficient_quota"
    assert OpenAIError.of(418).type == "invalid_request_error"
    assert OpenAIError.of(429) == OpenAIError("rate_limit_error", "rate_limit_exceeded")
    assert OpenAIError.of(500).type == OpenAIError.of(503).type == "server_error"
