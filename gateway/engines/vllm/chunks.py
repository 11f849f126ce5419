"""The chunks in the middle of a plain stream: as vLLM wrote the first one with a text, with another text in it.

VLLM makes a chunk of several pydantic objects, in a generator that a task has to be woken for, and with 64 streams that
is done hundreds of times a second. Where nothing but the text can differ from chunk to chunk, this does it in one
step. The first chunks of a stream, its last ones and its usage are vLLM's own, so its form is known nowhere here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import to_json
from vllm.parser.abstract_parser import DelegatingParser

if TYPE_CHECKING:
    from vllm.parser import Parser

    from gateway.engine import OpenAIRequest

# Fields of a body that decide which tokens an answer has, or what comes before it and behind it. With any other one a
# chunk may have log probabilities, ids, tool calls or a count of its own.
_PLAIN = frozenset(
    {
        "allowed_token_ids",
        "bad_words",
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "min_p",
        "min_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "repetition_penalty",
        "response_format",
        "seed",
        "stop",
        "stop_token_ids",
        "stream",
        "stream_options",
        "temperature",
        "top_k",
        "top_p",
        "user",
    }
)
_BEFORE_TEXT = {"chat.completions": '"delta":{"content":', "completions": '"text":'}


class Form:
    """A chunk without its text."""

    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after

    @classmethod
    def of(cls, request: OpenAIRequest, chunk: str, text: str) -> Form | None:
        """That of a request's chunk with this text; None where the chunk has another one."""
        field = _BEFORE_TEXT[request.operation]
        before, found, after = chunk.partition(field + _json(text))
        return cls(before + field, after) if found else None

    def chunk(self, text: str) -> str:
        """The same with another text."""
        return self._before + _json(text) + self._after


def passes_text_on(parser: type[Parser] | None) -> bool:
    """Whether what vLLM looks for tool calls with takes the text as it is where no tool may be called."""
    if parser is None:
        return True
    return (
        parser.parse_delta is DelegatingParser.parse_delta
        and parser.reasoning_parser_cls is None
        and parser.tool_parser_cls is not None
        and not parser.tool_parser_cls.engine_based_streaming
    )


def is_plain(request: OpenAIRequest) -> bool:
    """Whether the chunks of a request's answer differ in their text only, but for the first and the last ones."""
    body = request.body
    return (
        body.keys() <= _PLAIN
        and body.get("n", 1) == 1
        and not isinstance(body.get("prompt"), list)
        and not (body.get("stream_options") or {}).keys() - {"include_usage"}
    )


def _json(text: str) -> str:
    return to_json(text).decode()  # what pydantic does with it inside of a chunk
