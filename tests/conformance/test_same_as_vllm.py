"""The gateway answers as vLLM's own server does, field by field, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.bodies import ANSWERED, REFUSED, STREAMED

if TYPE_CHECKING:
    from tests.conformance.bodies import Same
    from tests.conformance.vllm_server import VllmServer
    from tests.server import GatewayServer, Reply

pytestmark = pytest.mark.slow

# Where the two differ, and why. Everything else is compared.
ON_PURPOSE = {
    "id": "the trace id is in it, so that an answer is found in the log; vLLM's is random, a tool call's too",
    "created": "the time",
    "message": "names the field, says what to do, and quotes nothing of the body",
    "type": "OpenAI's names for errors; vLLM has names of its own",
    "param": "always the field; vLLM leaves it out often",
    "code": "OpenAI's: a text or null; vLLM has the HTTP status there",
}
# The contract's, beside OpenAI's `error`.
ADDED = {"code", "message", "traceId"}


def by_name(requests: list[Same]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("same", requests, ids=[same.name for same in requests])


def without_ids(value: Any) -> Any:
    """A body without what cannot be the same twice."""
    if isinstance(value, dict):
        return {name: without_ids(inside) for name, inside in value.items() if name not in {"id", "created"}}
    return [without_ids(inside) for inside in value] if isinstance(value, list) else value


def events(reply: Reply) -> list[dict[str, Any]]:
    """The chunks of a stream that has ended well."""
    assert reply.status == 200, reply.content
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert headers["content-type"].startswith("text/event-stream")
    *chunks, done, rest = reply.content.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]


def joined(into: Any, value: Any) -> Any:
    """Two pieces of one answer as one: texts and lists are put together, of the rest the last word counts."""
    if into is None or value is None:
        return into if value is None else value
    if isinstance(into, dict) and isinstance(value, dict):
        return {name: joined(into.get(name), value.get(name)) for name in [*into, *(value.keys() - into.keys())]}
    if isinstance(into, list) and isinstance(value, list):
        if any(isinstance(one, dict) and "index" in one for one in into + value):
            return by_index(into + value)
        return into + value
    return into + value if isinstance(into, str) and isinstance(value, str) else value


def by_index(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of several choices or tool calls, each one's put together."""
    found: dict[int, Any] = {}
    for piece in pieces:
        rest = {name: value for name, value in piece.items() if name not in {"id", "type", "role"}}
        found[piece["index"]] = joined(found.get(piece["index"]), rest)
    return [found[index] for index in sorted(found)]


def told(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a stream says, however it was cut into chunks."""
    frames = [
        {name: value for name, value in chunk.items() if name not in {"id", "created", "choices", "usage"}}
        for chunk in chunks
    ]
    return {
        "choices": by_index([choice for chunk in chunks for choice in chunk["choices"]]),
        "roles": [choice["delta"].get("role") for choice in chunks[0]["choices"] if "delta" in choice],
        "usage": chunks[-1].get("usage"),
        "usage in each chunk": all("usage" in chunk for chunk in chunks),
        "choices in the last chunk": bool(chunks[-1]["choices"]),
        "frame": {name: value for frame in frames for name, value in frame.items() if value is not None},
        "ids": len({chunk["id"] for chunk in chunks}),
    }


@by_name(ANSWERED)
def test_a_whole_answer_is_vllms(gateway_server: GatewayServer, vllm_server: VllmServer, same: Same) -> None:
    ours, theirs = gateway_server.post(same.path, same.body), vllm_server.post(same.path, same.body)
    assert (ours.status, theirs.status) == (200, 200), (ours.content, theirs.content)
    assert without_ids(ours.json) == without_ids(theirs.json)


@by_name(STREAMED)
def test_a_stream_tells_what_vllms_tells(gateway_server: GatewayServer, vllm_server: VllmServer, same: Same) -> None:
    body = {**same.body, "stream": True}
    ours, theirs = events(gateway_server.post(same.path, body)), events(vllm_server.post(same.path, body))
    assert told(ours) == told(theirs)
    assert told(ours)["ids"] == 1


@by_name(REFUSED)
def test_what_vllm_refuses_is_refused(gateway_server: GatewayServer, vllm_server: VllmServer, same: Same) -> None:
    ours, theirs = gateway_server.post(same.path, same.body), vllm_server.post(same.path, same.body)
    assert ours.status == theirs.status >= 400
    assert ours.json.keys() - theirs.json.keys() == ADDED
    assert ours.json["error"].keys() == theirs.json["error"].keys() <= ON_PURPOSE.keys()
    if (param := theirs.json["error"]["param"]) in same.fields:
        assert ours.json["error"]["param"].partition(".")[0] == param
