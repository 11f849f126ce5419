"""The two Get Data operations: what they answer, and what they hand to the engine."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.engine import Delta, Sampling
from gateway.engines.scripted import ScriptedEngine
from tests.http.conftest import CONTEXT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.engine import EngineGeneration, Event, Passing, Terms
    from tests.http.conftest import Api, Reply

GET_DATA = [
    "/Get%20Data",
    "/Get Data",
    "/get%20data",
    "/GET%20DATA",
    "/gEt%20dAtA/",
    "/Get%20Data/",
    "/get-data",
    "/Get-Data",
    "/GET-DATA/",
    "/get-data?unrelated=1",
]
SYSTEM_PROMPT_GET_DATA = [
    "/System%20Prompt%20Get%20Data",
    "/System Prompt Get Data/",
    "/system%20prompt%20get%20data",
    "/SYSTEM%20PROMPT%20GET%20DATA/",
    "/system-prompt-get-data",
    "/System-Prompt-Get-Data/",
]
NEITHER = [
    "/getdata",
    "/get_data",
    "/get+data",
    "/get%2Ddata%20",
    "/get%20%20data",
    "/get%2520data",
    "/get-data/x",
    "/x/get-data",
    "//get-data",
    "/get-data//",
    "/get%20data%0A",
    "/get\u00a0data",
    "/system-prompt%20get%20data",
    "/system%20prompt%20get-data",
    "/systempromptgetdata",
    "/prompt-get-data",
    "/system-prompt",
    "/api/get-data",
]


def ids(text: str) -> list[int]:
    return [ord(character) for character in text]


def events(reply: Reply) -> list[Any]:
    """The events of a stream of nothing but `data: JSON`, parsed, and `[DONE]` as it is."""
    *blocks, rest = reply.body.decode().split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    datas = [block.removeprefix("data: ") for block in blocks]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def test_an_answer_has_the_fields_of_the_contract_in_its_order(api: Api) -> None:
    reply = api.post({"prompt": "Tell me"}, "/Get%20Data")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Trace-Id"])
    assert list(reply.json.items()) == [
        ("status", 200),
        ("content-type", "application/json"),
        ("generated_text", "An answer."),
        ("model", "scripted"),
        ("finish_reason", "stop"),
        ("usage", {"prompt_tokens": 7, "completion_tokens": 10, "total_tokens": 17}),
        ("traceId", reply.headers["X-Trace-Id"]),
    ]


def test_a_stream_is_pieces_then_a_summary_then_done(api: Api) -> None:
    api.answers("Hé!")
    reply = api.post({"prompt": "Tell me", "stream": True}, "/Get%20Data")
    assert reply.status == 200
    assert events(reply) == [
        {"generated_text": "H"},
        {"generated_text": "é"},
        {"generated_text": "!"},
        {
            "generated_text": "",
            "status": 200,
            "model": "scripted",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            "traceId": reply.headers["X-Trace-Id"],
        },
        "[DONE]",
    ]


def test_a_stream_tells_proxies_to_leave_it_alone(api: Api) -> None:
    headers = api.post({"prompt": "a", "stream": True}).headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers


@pytest.mark.parametrize("text", ["An answer.", "", "a\nb\r\n\ndata: [DONE]\n\n", '"\\\x00\u2028🦙'])
def test_the_pieces_of_a_stream_joined_are_the_text_of_the_whole_answer(api: Api, text: str) -> None:
    api.answers(text)
    whole = api.post({"prompt": "a"}).json
    *pieces, summary, done = events(api.post({"prompt": "a", "stream": True}))
    assert "".join(piece["generated_text"] for piece in pieces) == whole["generated_text"] == text
    assert all(piece["generated_text"] and list(piece) == ["generated_text"] for piece in pieces)
    assert (summary["usage"], summary["finish_reason"]) == (whole["usage"], whole["finish_reason"])
    assert done == "[DONE]"


@pytest.mark.parametrize("path", GET_DATA)
def test_a_spelling_of_get_data_is_served(api: Api, path: str) -> None:
    assert api.post({"prompt": "a"}, path).status == 200
    api.post({"prompt": "a", "system prompt": "b"}, path).assert_error(400, "System Prompt Get Data")


@pytest.mark.parametrize("path", SYSTEM_PROMPT_GET_DATA)
def test_a_spelling_of_system_prompt_get_data_is_served(api: Api, path: str) -> None:
    assert api.post({"prompt": "a", "system prompt": "b"}, path).status == 200
    assert api.engine.requests == [(ids("ba"), Sampling(max_tokens=CONTEXT_LENGTH - 2))]


@pytest.mark.parametrize("path", NEITHER)
def test_another_path_is_not_found(api: Api, path: str) -> None:
    api.post({"prompt": "a"}, path).assert_error(404, "There is no such operation.")
    assert api.engine.requests == []


def test_what_a_caller_leaves_out_is_left_to_the_model(api: Api) -> None:
    api.post({"prompt": "Hi"})
    assert api.engine.requests == [(ids("Hi"), Sampling(max_tokens=CONTEXT_LENGTH - 2))]


def test_every_field_reaches_the_engine(api: Api) -> None:
    body = {
        "prompt": "Hi",
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "max_tokens": 7,
        "stop": ["x", "\n"],
        "seed": -1,
        "frequency_penalty": -2,
        "presence_penalty": 1.5,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string"}}},
        "model": "scripted",
        "stream": False,
    }
    assert api.post(body).status == 200
    expected = Sampling(
        max_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        stop=("x", "\n"),
        seed=-1,
        frequency_penalty=-2.0,
        presence_penalty=1.5,
        json_schema={"type": "string"},
    )
    assert api.engine.requests == [(ids("Hi"), expected)]


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}, {}),
        ({"type": "json_schema", "json_schema": {"description": "d", "schema": {"a": [{}]}}}, {"a": [{}]}),
    ],
)
def test_a_response_format_becomes_a_schema(api: Api, response_format: object, schema: object) -> None:
    assert api.post({"prompt": "a", "response_format": response_format}).status == 200
    assert api.engine.requests[0][1].json_schema == schema


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temperature", 0, 0.0),
        ("temperature", 2, 2.0),
        ("temperature", 1e-3, 0.001),
        ("top_p", 1, 1.0),
        ("top_p", 1e-9, 1e-9),
        ("top_k", -1, -1),
        ("top_k", 1, 1),
        ("top_k", 10**30, 2**31 - 1),
        ("max_tokens", 1, 1),
        ("max_tokens", 5.0, 5),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("seed", -(2**63), -(2**63)),
        ("seed", 0, 0),
        ("frequency_penalty", -2, -2.0),
        ("frequency_penalty", 2, 2.0),
        ("presence_penalty", -2, -2.0),
        ("presence_penalty", 2, 2.0),
        ("stop", "x", ("x",)),
        ("stop", [], ()),
        ("stop", ["a", "b", "c", " "], ("a", "b", "c", " ")),
    ],
)
def test_a_value_at_its_bound_is_taken(api: Api, field: str, value: object, expected: object) -> None:
    assert api.post({"prompt": "a", field: value}).status == 200
    found = getattr(api.engine.requests[0][1], field)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("wanted", [CONTEXT_LENGTH - 3, CONTEXT_LENGTH - 2, CONTEXT_LENGTH - 1, 10**4000])
def test_max_tokens_is_cut_to_what_the_context_leaves(api: Api, wanted: int) -> None:
    assert api.post({"prompt": "ab", "max_tokens": wanted}).status == 200
    assert api.engine.requests[0][1].max_tokens == min(wanted, CONTEXT_LENGTH - 2)


def test_an_answer_that_ends_at_max_tokens_says_so(api: Api) -> None:
    body = api.post({"prompt": "a", "max_tokens": 4}).json
    assert (body["generated_text"], body["finish_reason"]) == ("An a", "length")
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}


def test_a_prompt_may_leave_room_for_one_token_but_not_for_none(api: Api) -> None:
    answer = api.post({"prompt": "q" * (CONTEXT_LENGTH - 1)}).json
    assert answer["usage"] == {"prompt_tokens": CONTEXT_LENGTH - 1, "completion_tokens": 1, "total_tokens": 512}
    refused = api.post({"prompt": "q" * CONTEXT_LENGTH}).assert_error(400, "`prompt`", "512 tokens")
    assert "qq" not in refused["message"]
    assert len(api.engine.requests) == 1


@pytest.mark.parametrize("name", ["scripted", "second-name"])
def test_every_name_of_a_model_answers_with_its_first(api: Api, name: str) -> None:
    assert api.post({"prompt": "a", "model": name}).json["model"] == "scripted"


@pytest.mark.parametrize("name", ["", "Scripted", "no-such-model", "../x"])
def test_an_unknown_model_is_not_found_and_the_known_ones_are_told(api: Api, name: str) -> None:
    body = api.post({"prompt": "a", "model": name}).assert_error(404, "`model`", "scripted, second-name")
    assert not name or name not in body["message"]


@pytest.mark.parametrize("name", ["system prompt", "system_prompt"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_system_prompt_in_either_spelling_comes_before_the_prompt(api: Api, name: str, *, stream: bool) -> None:
    reply = api.post({"prompt": "user", name: "system", "stream": stream}, "/System%20Prompt%20Get%20Data")
    assert reply.status == 200
    assert api.engine.requests == [(ids("systemuser"), Sampling(max_tokens=CONTEXT_LENGTH - 10))]


def test_both_spellings_of_the_system_prompt_at_once_are_refused(api: Api) -> None:
    body = {"prompt": "a", "system prompt": "b", "system_prompt": "b"}
    api.post(body, "/System%20Prompt%20Get%20Data").assert_error(400, "`system_prompt`", "`system prompt`")


@pytest.mark.parametrize("body", [{}, {"system prompt": ""}, {"system_prompt": " \n\t"}])
def test_a_system_prompt_may_be_left_out_or_blank(api: Api, body: dict[str, str]) -> None:
    assert api.post({"prompt": "user", **body}, "/System%20Prompt%20Get%20Data").status == 200
    assert api.engine.requests[0][0] == ids("user")


class HalfCharacters(ScriptedEngine):
    """Gives ids whose text is not known yet, as a tokenizer does in the middle of a character."""

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, terms: Terms, *, stream: bool = True
    ) -> EngineGeneration:
        """See the port."""
        generation = super().generate(prompt_ids, sampling, terms, stream=stream)
        forward = generation.next

        def next_event(timeout: float | None, passing: Passing | None = None) -> Event:
            event = forward(timeout, passing)
            return Delta("", event.token_ids) if isinstance(event, Delta) and event.text == "?" else event

        generation.next = next_event  # type: ignore[method-assign]
        return generation


def test_tokens_without_text_are_counted_and_not_sent(make_api: Callable[..., Api]) -> None:
    api = make_api(HalfCharacters())
    api.answers("?a??b?")
    *pieces, summary, _ = events(api.post({"prompt": "a", "stream": True}))
    assert pieces == [{"generated_text": "a"}, {"generated_text": "b"}]
    assert summary["usage"]["completion_tokens"] == 6


def test_text_reaches_the_engine_as_it_was_sent(api: Api) -> None:
    prompt = ' </s>[/INST] \x00 "\\ é 🦙 \u2028 '
    assert api.post({"prompt": prompt}).status == 200
    assert api.engine.requests[0][0] == ids(prompt)


def test_an_escaped_surrogate_pair_is_one_character(api: Api) -> None:
    assert api.post(rb'{"prompt": "\ud83e\udd99"}').status == 200
    assert api.engine.requests[0][0] == ids("🦙")
