"""The requests that go to both servers: every field of OpenAI's that vLLM serves, greedy where it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

_ASK: list[dict[str, Any]] = [{"role": "user", "content": "Tell me about llama2"}]
_SYSTEM: list[dict[str, Any]] = [{"role": "system", "content": "You answer in one sentence."}, *_ASK]
_COUNT: list[dict[str, Any]] = [{"role": "user", "content": "Count from 1 to 20"}]
_TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "I am a demo model."},
    {"role": "user", "content": [{"type": "text", "text": "Count from"}, {"type": "text", "text": "1 to 5"}]},
]
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "big": {"type": "boolean"}},
    "required": ["city", "big"],
    "additionalProperties": False,
}
_FORMAT: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "city", "schema": _SCHEMA, "strict": True}}
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "find_city", "description": "Finds a city.", "parameters": _SCHEMA},
}
_OTHER: dict[str, Any] = {"type": "function", "function": {"name": "stop", "parameters": {"type": "object"}}}
_NAMED: dict[str, Any] = {"type": "function", "function": {"name": "find_city"}}


@dataclass(frozen=True)
class Same:
    """A request.

    Attributes:
        name: the test's id.
        path: the operation.
        fields: of the body, beside `temperature: 0`.
    """

    name: str
    path: str
    fields: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """The whole of it."""
        return {"model": "get-data-demo", "temperature": 0, "max_tokens": 24, **self.fields}


def _chat(name: str, **fields: Any) -> Same:
    return Same(f"chat: {name}", CHAT, {"messages": _ASK, **fields})


def _text(name: str, **fields: Any) -> Same:
    return Same(f"text: {name}", COMPLETIONS, {"prompt": "Llama 2 is", **fields})


ANSWERED = [
    _chat("plain"),
    _chat("to its end", messages=_COUNT, max_tokens=None),
    _chat("a system message, the second name", messages=_SYSTEM, model="meta/llama2-70b"),
    _chat("several turns, content in parts", messages=_TURNS),
    _chat("several choices", temperature=0.01, n=2, seed=5),
    _chat("several choices with different seeds' draws", temperature=1.5, n=3, seed=7, top_p=0.9, top_k=20),
    _chat("logprobs", logprobs=True, top_logprobs=3, max_tokens=6),
    _chat("logprobs of the chosen only", logprobs=True, max_tokens=6),
    _chat("ids for tokens", logprobs=True, return_tokens_as_token_ids=True, return_token_ids=True, max_tokens=4),
    _chat("stop, a text", messages=_COUNT, stop="7"),
    _chat("stop, a list, shown", messages=_COUNT, stop=["9", "5"], include_stop_str_in_output=True),
    _chat("stop ids", stop_token_ids=[300, 301, 302], min_tokens=2),
    _chat("penalties", frequency_penalty=1.5, presence_penalty=-0.5, repetition_penalty=1.2),
    _chat("a seed", temperature=1.2, seed=11),
    _chat("a bias", logit_bias={"100": 100, "5": -100}, max_tokens=4),
    _chat("max_completion_tokens", max_tokens=None, max_completion_tokens=5),
    _chat("a JSON object", response_format={"type": "json_object"}, max_tokens=16),
    _chat("a JSON schema", response_format=_FORMAT),
    _chat("text asked for by name", response_format={"type": "text"}),
    _chat("a choice of constraint", structured_outputs={"choice": ["Paris", "Rome"]}),
    _chat("tools, left to the model", tools=[_TOOL, _OTHER]),
    _chat("tools, auto", tools=[_TOOL], tool_choice="auto", parallel_tool_calls=False),
    _chat("tools, none", tools=[_TOOL], tool_choice="none"),
    _chat("tools, required", tools=[_TOOL, _OTHER], tool_choice="required", max_tokens=60),
    _chat("tools, one by name", tools=[_TOOL, _OTHER], tool_choice=_NAMED, max_tokens=60),
    _chat("echo", echo=True, messages=_TURNS),
    _chat("prompt_logprobs", prompt_logprobs=1, max_tokens=2),
    _chat("a user and bad words", user="me", bad_words=["family"], min_p=0.1),
    _text("plain"),
    _text("max_tokens left out", max_tokens=None),
    _text("a list of prompts", prompt=["Llama 2 is", "Meta is"]),
    _text("ids", prompt=[1, 300, 301, 302]),
    _text("lists of ids", prompt=[[1, 300], [1, 301, 302]]),
    _text("prompts and choices", prompt=["Llama 2 is", "Meta is"], n=2, temperature=0.01, seed=5),
    _text("echo", echo=True),
    _text("echo, logprobs", echo=True, logprobs=2, max_tokens=3),
    _text("echo alone", echo=True, max_tokens=0, logprobs=1),
    _text("logprobs", logprobs=3, max_tokens=6),
    _text("stop, a list", stop=["three", "."]),
    _text("penalties", frequency_penalty=1.0, presence_penalty=1.0),
    _text("a bias", logit_bias={"100": 50.5}, max_tokens=4),
    _text("a JSON schema", response_format=_FORMAT),
    _text("without special tokens", add_special_tokens=False, skip_special_tokens=False),
    _text("cut at the left", truncate_prompt_tokens=2, return_token_ids=True),
]

STREAMED = [
    _chat("plain"),
    _chat("usage at the end", stream_options={"include_usage": True}),
    _chat("usage all along", stream_options={"include_usage": True, "continuous_usage_stats": True}),
    _chat("several choices", n=2, temperature=0.01, seed=5, stream_options={"include_usage": True}),
    _chat("logprobs", logprobs=True, top_logprobs=2, max_tokens=6),
    _chat("stop", messages=_COUNT, stop=["7"]),
    _chat("tools, required", tools=[_TOOL], tool_choice="required", max_tokens=60),
    _chat("tools, one by name", tools=[_TOOL], tool_choice=_NAMED, max_tokens=60),
    _chat("tools, left to the model", tools=[_TOOL]),
    _chat("a JSON schema", response_format=_FORMAT),
    _chat("echo", echo=True, messages=_TURNS),
    _text("plain"),
    _text("prompts and choices", prompt=["Llama 2 is", "Meta is"], n=2, temperature=0.01, seed=5),
    _text("usage at the end", stream_options={"include_usage": True}),
    _text("echo, logprobs", echo=True, logprobs=2, max_tokens=3),
    _text("ids", prompt=[1, 300, 301, 302], return_token_ids=True),
]

REFUSED = [
    _chat("no messages", messages=[]),
    _chat("a hot temperature", temperature=2.5),
    _chat("no choices", n=0),
    _chat("several choices that would be the same", n=2),
    _chat("a long prompt", messages=[{"role": "user", "content": "word " * 3000}]),
    _chat("a long answer", max_tokens=10**6),
    _chat("an unknown model", model="meta/llama2-7b"),
    _chat("a schema that is none", response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": []}}),
    _chat("too many stops", stop=["a"] * 5),
    _chat("top_logprobs without logprobs", top_logprobs=2),
    _chat("a choice of an unknown tool", tools=[_OTHER], tool_choice=_NAMED),
    _chat("roles that do not alternate", messages=[*_ASK, *_ASK]),
    _chat("a template of the caller's", chat_template="{{ messages }}"),
    _chat("an image", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aa"}}]}]),
    _chat("stream_options without stream", stream_options={"include_usage": True}),
    _text("a suffix", suffix="."),
    _text("a long prompt", prompt=[5] * 3000),
    _text("an id outside the vocabulary", prompt=[10**6]),
    _text("a bias outside the vocabulary", logit_bias={"999999": 1}),
    _text("no prompts", prompt=[]),
]  # fmt: skip
