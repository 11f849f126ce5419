"""The chunks that vLLM does not write itself, beside those that it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine import Chunk, Finish, OpenAIRequest
from gateway.engines.vllm import completion
from gateway.engines.vllm.chunks import Form, is_plain, passes_text_on
from tests.gateways import some_terms

if TYPE_CHECKING:
    from gateway.engines.vllm import VllmEngine

Operation = Literal["chat.completions", "completions"]
ASKED: dict[Operation, dict[str, Any]] = {
    "chat.completions": {"messages": [{"role": "user", "content": "Count from 1 to 300"}]},
    "completions": {"prompt": "Llama 2 is"},
}
OPERATIONS = list(ASKED)
LONG = {"temperature": 0, "max_tokens": 90, "ignore_eos": True}


def asked(operation: Operation, **body: Any) -> OpenAIRequest:
    return OpenAIRequest(operation, {**ASKED[operation], "stream": True, **body}, "a" * 32)


def written(operation: Operation, text: str) -> str:
    """What vLLM writes for a text in the middle of a stream."""
    from vllm.entrypoints.generate.base.protocol import DeltaMessage  # noqa: PLC0415
    from vllm.entrypoints.openai.chat_completion import protocol as chats  # noqa: PLC0415
    from vllm.entrypoints.openai.completion import protocol as texts  # noqa: PLC0415

    usual = {"id": "x", "created": 1, "model": "content"}
    if operation == "completions":
        choice = texts.CompletionResponseStreamChoice(index=0, text=text, logprobs=None, finish_reason=None)
        return str(texts.CompletionStreamResponse(choices=[choice], **usual).model_dump_json(exclude_unset=True))
    said = chats.ChatCompletionResponseStreamChoice(index=0, delta=DeltaMessage(content=text), finish_reason=None)
    return str(chats.ChatCompletionStreamResponse(choices=[said], **usual).model_dump_json(exclude_unset=True))


def streamed(engine: VllmEngine, request: OpenAIRequest) -> tuple[list[dict[str, Any]], list[int], Finish]:
    """The chunks of a stream without what is new in each, how many ids each is for, and its end."""
    generation = engine.prepare(request, 60).start(some_terms(), 1000)
    chunks: list[Chunk] = []
    while not isinstance(event := generation.next(60), Finish):
        assert isinstance(event, Chunk)
        chunks.append(event)
    bodies = [json.loads(chunk.body) for chunk in chunks]
    assert len({body.pop("created") for body in bodies}) == 1
    return bodies, [chunk.tokens for chunk in chunks], event


def without_text(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A chunk without its text, and that."""
    if not body["choices"]:
        return body, ""
    choice = dict(body["choices"][0])
    text = choice.pop("text") if "text" in choice else choice["delta"].get("content") or ""
    if "delta" in choice:
        choice["delta"] = {**choice["delta"], "content": None}
    return {**body, "choices": [choice]}, text


@pytest.mark.parametrize("operation", OPERATIONS)
@given(first=st.text(min_size=1), second=st.text())
def test_a_chunk_is_what_vllm_would_write(operation: Operation, first: str, second: str) -> None:
    form = Form.of(asked(operation), written(operation, first), first)
    assert form is not None
    assert form.chunk(second) == written(operation, second)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_chunk_with_another_text_gives_no_form(operation: Operation) -> None:
    assert Form.of(asked(operation), written(operation, "a"), "b") is None


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("more", [{}, {"stream_options": {"include_usage": True}}, {"stop": ["25"], "n": 1}])
def test_a_plain_stream_is_as_vllm_writes_it(
    vllm_engine: VllmEngine, monkeypatch: pytest.MonkeyPatch, operation: Operation, more: dict[str, Any]
) -> None:
    made: list[str] = []
    by_hand = Form.chunk

    def make(form: Form, text: str) -> str:
        made.append(text)
        return by_hand(form, text)

    monkeypatch.setattr(Form, "chunk", make)
    request = asked(operation, **LONG, **more)
    bodies, tokens, finish = streamed(vllm_engine, request)
    assert made
    monkeypatch.setattr(completion, "is_plain", lambda _request: False)
    made.clear()
    wanted, _, same_finish = streamed(vllm_engine, request)
    assert not made
    assert finish == same_finish
    assert sum(tokens) == finish.completion_tokens
    found, expected = [[without_text(body) for body in all_] for all_ in (bodies, wanted)]
    assert "".join(text for _, text in found) == "".join(text for _, text in expected)
    # How the texts are split is a matter of time: all kinds of chunks are there in the same order.
    assert kinds(found) == kinds(expected)


def test_a_text_that_cannot_be_written_is_left_to_vllm(
    vllm_engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(_form: Form, text: str) -> str:
        tried.append(text)
        raise ValueError(text)

    monkeypatch.setattr(Form, "chunk", fail)
    bodies, tokens, finish = streamed(vllm_engine, asked("chat.completions", **LONG))
    assert len(tried) == 1
    assert sum(tokens) == finish.completion_tokens == 90
    assert tried[0] in "".join(without_text(body)[1] for body in bodies)


def kinds(chunks: list[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    """The chunks without their texts, each once where several in a row are the same."""
    bodies = [body for body, _ in chunks]
    return [body for number, body in enumerate(bodies) if number == 0 or body != bodies[number - 1]]


@pytest.mark.parametrize(
    "more",
    [
        {"logprobs": True},
        {"n": 2},
        {"return_token_ids": True},
        {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        {"tools": []},
        {"echo": True},
    ],
)
def test_what_chunks_tell_more_of_is_vllms_to_write(more: dict[str, Any]) -> None:
    assert is_plain(asked("chat.completions"))
    assert not is_plain(asked("chat.completions", **more))


def test_several_prompts_are_vllms_to_write() -> None:
    assert is_plain(asked("completions"))
    assert not is_plain(asked("completions", prompt=["a", "b"]))
    assert not is_plain(asked("completions", prompt=[1, 2]))


@pytest.mark.parametrize(
    ("tools", "thoughts", "enough"),
    [
        (None, None, True),
        ("hermes", None, True),
        ("llama3_json", None, True),
        (None, "deepseek_r1", False),
        ("hermes", "deepseek_r1", False),
        ("k2_horizon", None, False),
        ("kimi_k3", None, False),
    ],
)
def test_text_is_passed_on_where_nothing_but_tools_is_looked_for(
    tools: str | None, thoughts: str | None, *, enough: bool
) -> None:
    from vllm.parser import ParserManager  # noqa: PLC0415

    parser = ParserManager.get_parser(tools, thoughts, enable_auto_tools=True)
    assert (parser is None) == (tools is thoughts is None)
    assert passes_text_on(parser) == enough
