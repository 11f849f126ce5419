"""Bodies that OpenAI answers with 400, in a table: what is wrong, and the field that the refusal has to name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Stands wherever a caller may write a text of their own; neither a message nor the log may repeat it.
CANARY = "canaryxylophone"

_TOOL: dict[str, Any] = {"type": "function", "function": {"name": CANARY, "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class Bad:
    """One body.

    Attributes:
        name: the test's id.
        body: an object, beside the operation's own prompt and `max_tokens: 2`; or bytes that are sent as they are.
        field: what the message has to name.
    """

    name: str
    body: dict[str, Any] | bytes
    field: str


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def _schema(schema: object, **more: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, **more}}}


def _wrong_types(fields: dict[str, tuple[object, ...]]) -> list[Bad]:
    return [
        Bad(f"{name} of the wrong type {number}", {name: value}, name)
        for name, values in fields.items()
        for number, value in enumerate(values)
    ]


# Wrong in both operations.
BOTH = [
    *_wrong_types(
        {
            "model": (1, [CANARY], {"a": CANARY}, True),
            "stream": (CANARY, 1, [], {}),
            "temperature": (CANARY, "0.5", [1], {"a": 1}, True),
            "top_p": (CANARY, [1], {}),
            "n": (CANARY, 1.5, [1], {}),
            "max_tokens": (CANARY, 1.5, [1], {}),
            "stop": (1, {"a": CANARY}, [1], [[CANARY]], True),
            "seed": (CANARY, 1.5, [1], {}),
            "frequency_penalty": (CANARY, [1], {}),
            "presence_penalty": (CANARY, [1], {}),
            "logit_bias": (CANARY, [1], 1, {"1": CANARY}, {"1": [1]}),
            "stream_options": (CANARY, [1], True),
            "user": (1, [CANARY], {}),
            "response_format": (CANARY, [1], 1, {}, {"type": 1}),
            "top_k": (CANARY, 1.5),
            "min_p": (CANARY, []),
            "repetition_penalty": (CANARY, []),
            "ignore_eos": (CANARY, 2),
            "min_tokens": (CANARY, 1.5),
            "stop_token_ids": (CANARY, [CANARY], 1),
            "allowed_token_ids": (CANARY, [CANARY], 1),
            "bad_words": (CANARY, [1]),
            "structured_outputs": (CANARY, [1], 1),
            "prompt_logprobs": (CANARY, [1]),
            "skip_special_tokens": (CANARY,),
            "truncate_prompt_tokens": (CANARY, -2),
            "vllm_xargs": (CANARY, [1]),
            "repetition_detection": (CANARY, [1]),
            "thinking_token_budget": (CANARY, [1]),
            "logprob_token_ids": (CANARY, [CANARY]),
            "stream_interval": (CANARY, 0),
        }
    ),
    Bad("temperature below 0", {"temperature": -0.1}, "temperature"),
    Bad("temperature over 2", {"temperature": 2.1}, "temperature"),
    Bad("top_p of 0", {"top_p": 0}, "top_p"),
    Bad("top_p over 1", {"top_p": 1.1}, "top_p"),
    Bad("top_k below -1", {"top_k": -2}, "top_k"),
    Bad("min_p over 1", {"min_p": 1.5}, "min_p"),
    Bad("repetition_penalty of 0", {"repetition_penalty": 0}, "repetition_penalty"),
    Bad("frequency_penalty over 2", {"frequency_penalty": 2.1}, "frequency_penalty"),
    Bad("presence_penalty below -2", {"presence_penalty": -2.1}, "presence_penalty"),
    Bad("n of 0", {"n": 0}, "n"),
    Bad("n below 0", {"n": -1}, "n"),
    Bad("more choices than OpenAI makes", {"n": 129, "temperature": 1}, "n"),
    Bad("n beyond all sense", {"n": 10**6, "temperature": 1}, "n"),
    Bad("n of more digits than an integer has", {"n": 10**30, "temperature": 1}, "n"),
    Bad("several choices that would be the same", {"n": 2, "temperature": 0}, "n"),
    Bad("max_tokens below 0", {"max_tokens": -1}, "max_tokens"),
    Bad("max_tokens over the context", {"max_tokens": 10**6}, "max_tokens"),
    Bad("max_tokens of too many digits", {"max_tokens": 10**30}, "max_tokens"),
    Bad("min_tokens over max_tokens", {"min_tokens": 5}, "min_tokens"),
    Bad("min_tokens below 0", {"min_tokens": -1}, "min_tokens"),
    Bad("seed of too many digits", {"seed": 2**63}, "seed"),
    Bad("a fifth stop", {"stop": [CANARY] * 5}, "stop"),
    Bad("an empty stop", {"stop": [""]}, "stop"),
    Bad("an empty text as stop", {"stop": ""}, "stop"),
    Bad("a bias on what is no id", {"logit_bias": {CANARY: 1}}, "logit_bias"),
    Bad("a bias on a negative id", {"logit_bias": {"-1": 1}}, "logit_bias"),
    Bad("a bias outside the vocabulary", {"logit_bias": {"999999": 1}}, "logit_bias"),
    Bad("a bias on a number of too many digits", {"logit_bias": {"9" * 30: 1}}, "logit_bias"),
    Bad("a bias over 100", {"logit_bias": {"5": 101}}, "logit_bias"),
    Bad("a bias below -100", {"logit_bias": {"5": -101}}, "logit_bias"),
    Bad("stop ids outside the vocabulary", {"stop_token_ids": [10**6]}, "stop_token_ids"),
    Bad("negative stop ids", {"stop_token_ids": [-1]}, "stop_token_ids"),
    Bad("stop ids of too many digits", {"stop_token_ids": [10**30]}, "stop_token_ids"),
    Bad("allowed ids outside the vocabulary", {"allowed_token_ids": [10**6]}, "allowed_token_ids"),
    Bad("no allowed ids", {"allowed_token_ids": []}, "allowed_token_ids"),
    Bad("an empty bad word", {"bad_words": [""]}, "bad_words"),
    Bad("stream_options without stream", {"stream_options": {"include_usage": True}}, "stream_options"),
    Bad("stream_options of the wrong inside", {"stream": True, "stream_options": {"include_usage": []}}, "stream_options"),
    Bad("a misspelt field", {"temprature": 1}, "temprature"),
    Bad("an unknown field", {"frobnicate": CANARY}, "frobnicate"),
    Bad("an unknown field of one letter", {"x": None}, "x"),
    Bad("an option of vLLM's past", {"guided_json": {"type": "object"}}, "guided_json"),
    Bad("another option of vLLM's past", {"guided_regex": CANARY}, "guided_regex"),
    Bad("an unknown type of answer", {"response_format": {"type": CANARY}}, "response_format"),
    Bad("json_schema without one", {"response_format": {"type": "json_schema"}}, "response_format"),
    Bad("json_schema that is a text", {"response_format": {"type": "json_schema", "json_schema": CANARY}}, "response_format"),
    Bad("json_schema without a name", {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format"),
    Bad("json_schema without the schema", {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format"),
    Bad("a schema that is a list", _schema([CANARY]), "response_format"),
    Bad("a schema of an unknown type", _schema({"type": CANARY}), "response_format"),
    Bad("a schema with types that are no types", _schema({"type": 5}), "response_format"),
    Bad("a schema with properties that are a list", _schema({"type": "object", "properties": [CANARY]}), "response_format"),
    Bad("a schema that points nowhere", _schema({"$ref": f"#/$defs/{CANARY}"}), "response_format"),
    Bad("a schema that points out", _schema({"$ref": f"https://example.invalid/{CANARY}"}), "response_format"),
    Bad("a schema with a broken pattern", _schema({"type": "string", "pattern": f"({CANARY}"}), "response_format"),
    Bad("a schema that is itself", _schema({"$ref": "#"}), "response_format"),
    Bad("a schema that goes in circles", _schema({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}), "response_format"),
    Bad("a schema that looks ahead", _schema({"type": "string", "pattern": f"^(?={CANARY})"}), "response_format"),
    Bad("a schema with an open class", _schema({"type": "object", "patternProperties": {f"[{CANARY}": {}}, "minProperties": 1}), "response_format"),
    Bad("a schema with letters of all languages", _schema({"type": "string", "pattern": f"\\p{{L}}{CANARY}"}), "response_format"),
    Bad("a regular expression that looks behind", {"structured_outputs": {"regex": f"(?<!{CANARY})a"}}, "structured_outputs"),
    Bad("a regular expression with a flag", {"structured_outputs": {"regex": f"(?i){CANARY}"}}, "structured_outputs"),
    Bad("a grammar that is itself", {"structured_outputs": {"grammar": f'root ::= root "{CANARY}"'}}, "structured_outputs"),
    Bad("a circle, in a stream", {**_schema({"$ref": "#"}), "stream": True}, "response_format"),
    Bad("a circle, for several choices", {**_schema({"$ref": "#"}), "n": 3, "temperature": 1}, "response_format"),
    Bad("a structural tag that points out", {"response_format": {"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {"$ref": f"http://{CANARY}"}}}}, "response_format"),
    Bad("a schema that asks for nothing possible", _schema({"type": "integer", "minimum": 5, "maximum": 1}), "response_format"),
    Bad("a schema that is false", _schema({"type": "object", "properties": {"a": False}, "required": ["a"]}), "response_format"),
    Bad("a schema nested too deeply", _schema(_deep(40)), "nested"),
    Bad("a structural tag that is none", {"response_format": {"type": "structural_tag", "format": {"type": CANARY}}}, "response_format"),
    Bad("two constraints at once", {"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
    Bad("two constraints in two fields", {"structured_outputs": {"regex": CANARY}, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string"}}}}, "structured_outputs"),
    Bad("a budget for thoughts that the model does not have", {"thinking_token_budget": 3}, "thinking_token_budget"),
    Bad("no constraint", {"structured_outputs": {}}, "structured_outputs"),
    Bad("a regular expression that is none", {"structured_outputs": {"regex": f"({CANARY}"}}, "structured_outputs"),
    Bad("a grammar that is none", {"structured_outputs": {"grammar": f"({CANARY}"}}, "structured_outputs"),
    Bad("no choices to choose from", {"structured_outputs": {"choice": []}}, "structured_outputs"),
    Bad("choices that are numbers", {"structured_outputs": {"choice": [1]}}, "structured_outputs"),
    Bad("a constraint nobody knows", {"structured_outputs": {CANARY: 1}}, "structured_outputs"),
    Bad("a constraint in a schema that is none", {"structured_outputs": {"json": CANARY}}, "structured_outputs"),
    Bad("beam search", {"use_beam_search": True, "n": 2}, "use_beam_search"),
    Bad("the best of several", {"best_of": 3}, "best_of"),
    Bad("too many prompt_logprobs", {"prompt_logprobs": 100}, "prompt_logprobs"),
    Bad("prompt_logprobs below -1", {"prompt_logprobs": -2}, "prompt_logprobs"),
    Bad("prompt_logprobs in a stream", {"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
    Bad("a cut of more ids than the context has", {"truncate_prompt_tokens": 10**6}, "truncate_prompt_tokens"),
    Bad("metadata that is a text", {"metadata": CANARY}, "metadata"),
    Bad("store that is a text", {"store": CANARY}, "store"),
    Bad("an unknown service tier", {"service_tier": CANARY}, "service_tier"),
]  # fmt: skip

# For each what it is, and what of the message the refusal names.
_CONTENT: list[tuple[str, object, str]] = [
    ("a number", 5, "messages.0.content"),
    ("an object", {"text": CANARY}, "messages.0.content"),
    ("a list of numbers", [5], "messages.0.content.0"),
    ("a list of texts", [CANARY], "messages.0.content.0"),
    ("a part without a type", [{CANARY: CANARY}], "messages.0.content.0.type"),
    ("a part of an unknown type", [{"type": CANARY, CANARY: CANARY}], "messages.0.content.0.type"),
    ("a part without its text", [{"type": "text"}], "messages.0.content.0.text"),
    ("a part with a number for text", [{"type": "text", "text": 5}], "messages.0.content.0.text"),
    (
        "a second part with null for text",
        [{"type": "text", "text": CANARY}, {"type": "text", "text": None}],
        "messages.0.content.1.text",
    ),
    ("an image", [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{CANARY}"}}], "messages"),
    (
        "an image from elsewhere",
        [{"type": "image_url", "image_url": {"url": f"http://127.0.0.1:9/{CANARY}"}}],
        "messages",
    ),
    ("an image from a file", [{"type": "image_url", "image_url": {"url": f"file:///{CANARY}"}}], "messages"),
    ("an image of the wrong type", [{"type": "image_url", "image_url": 5}], "messages.0.content.0.image_url"),
    ("an image without an address", [{"type": "image_url", "image_url": {}}], "messages"),
    ("audio", [{"type": "input_audio", "input_audio": {"data": CANARY, "format": "wav"}}], "messages"),
    ("audio from elsewhere", [{"type": "audio_url", "audio_url": {"url": f"http://127.0.0.1:9/{CANARY}"}}], "messages"),
    ("a video", [{"type": "video_url", "video_url": {"url": f"http://127.0.0.1:9/{CANARY}"}}], "messages"),
    ("a file", [{"type": "file", "file": {"file_data": CANARY}}], "messages.0.content.0.type"),
    ("embeddings", [{"type": "image_embeds", "image_embeds": CANARY}], "messages"),
    ("embeddings of a prompt", [{"type": "prompt_embeds", "data": CANARY}], "messages.0.content.0.type"),
    ("a reference to a tool", [{"type": "tool_reference", "name": CANARY}], "messages.0.content.0.type"),
    ("null", None, "messages.0.content"),
    ("an empty list", [], "messages.0.content"),
    ("a refusal in the user's mouth", [{"type": "refusal", "refusal": CANARY}], "messages.0.content.0.type"),
]

CHAT = [
    *_wrong_types(
        {
            "messages": (CANARY, 5, {"role": "user", "content": CANARY}, True, [CANARY], [5], [None], [[]]),
            "logprobs": (CANARY, [1], 2),
            "top_logprobs": (CANARY, [1], 1.5),
            "max_completion_tokens": (CANARY, 1.5, []),
            "tools": (CANARY, {}, 5, [CANARY], [5], [{}], [{"type": "function"}]),
            "tool_choice": (5, [1], CANARY, {}, {"type": "function"}),
            "parallel_tool_calls": (CANARY, []),
            "reasoning_effort": (5, CANARY),
            "chat_template_kwargs": (CANARY, [1]),
            "documents": (CANARY, [1]),
            "add_generation_prompt": (CANARY,),
            "echo": (CANARY,),
            "modalities": (CANARY, ["audio"], [5]),
        }
    ),
    *(
        Bad(f"content that is {name}", {"messages": [{"role": "user", "content": content}]}, field)
        for name, content, field in _CONTENT
    ),
    Bad("no messages", {"messages": []}, "messages"),
    Bad("messages that are null", {"messages": None}, "messages"),
    Bad("a message without a role", {"messages": [{"content": CANARY}]}, "role"),
    Bad("a message without content", {"messages": [{"role": "user"}]}, "content"),
    Bad("an empty message", {"messages": [{}]}, "role"),
    Bad("an unknown role", {"messages": [{"role": CANARY, "content": CANARY}]}, "role"),
    Bad("a role that is a number", {"messages": [{"role": 5, "content": CANARY}]}, "role"),
    Bad("a role that is null", {"messages": [{"role": None, "content": CANARY}]}, "role"),
    Bad("a name that is a number", {"messages": [{"role": "user", "content": "a", "name": 5}]}, "name"),
    Bad("roles that do not alternate", {"messages": [{"role": "user", "content": CANARY}] * 2}, "messages"),
    Bad("an answer first", {"messages": [{"role": "assistant", "content": CANARY}]}, "messages"),
    Bad("a system message alone", {"messages": [{"role": "system", "content": CANARY}]}, "messages"),
    Bad("a tool's answer to no call", {"messages": [{"role": "tool", "content": CANARY}]}, "messages"),
    Bad(
        "tool calls that are a text",
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": CANARY}]},
        "tool_calls",
    ),
    Bad(
        "tool calls without a function",
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [{"id": CANARY}]}]},
        "tool_calls",
    ),
    Bad(
        "a tool call with arguments that are no JSON",
        {
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "a", "arguments": f"{{{CANARY}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "b"},
            ]
        },
        "messages",
    ),
    Bad("a prompt over the context", {"messages": [{"role": "user", "content": f"{CANARY} " * 3000}]}, "messages"),
    Bad("a conversation over the context", {"messages": [{"role": "user", "content": "a " * 2000}, {"role": "assistant", "content": CANARY}] * 5 + [{"role": "user", "content": "a"}]}, "messages"),
    Bad("max_tokens of 0", {"max_tokens": 0}, "max_tokens"),
    Bad("max_completion_tokens of 0", {"max_completion_tokens": 0}, "max_completion_tokens"),
    Bad("max_completion_tokens below 0", {"max_completion_tokens": -1}, "max_completion_tokens"),
    Bad("max_completion_tokens over the context", {"max_completion_tokens": 10**6}, "max_completion_tokens"),
    Bad("top_logprobs without logprobs", {"top_logprobs": 2}, "top_logprobs"),
    Bad("too many top_logprobs", {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    Bad("top_logprobs below 0", {"logprobs": True, "top_logprobs": -2}, "top_logprobs"),
    Bad("no tools", {"tools": []}, "tools"),
    Bad("a tool of an unknown type", {"tools": [{**_TOOL, "type": CANARY}]}, "tools"),
    Bad("a tool without a name", {"tools": [{"type": "function", "function": {}}]}, "tools"),
    Bad("a tool with a number for a name", {"tools": [{"type": "function", "function": {"name": 5}}]}, "tools"),
    Bad("a tool with an empty name", {"tools": [{"type": "function", "function": {"name": ""}}]}, "tools"),
    Bad("a tool with a name of blanks", {"tools": [{"type": "function", "function": {"name": f"{CANARY} {CANARY}"}}]}, "tools"),
    Bad("a tool with parameters that are a text", {"tools": [{"type": "function", "function": {"name": "a", "parameters": CANARY}}]}, "tools"),
    Bad("a tool whose parameters are no schema", {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": CANARY}}}], "tool_choice": "required"}, "tools"),
    Bad("a named tool whose parameters are no schema", {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": CANARY}}}], "tool_choice": {"type": "function", "function": {"name": "a"}}}, "tools"),
    Bad("a tool whose parameters are no schema, left to the model", {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": CANARY}}}]}, "tools"),
    Bad("a choice of no tools", {"tool_choice": "required"}, "tool_choice"),
    Bad("a choice of no tools, left to the model", {"tool_choice": "auto"}, "tool_choice"),
    Bad("a choice of an unknown kind", {"tools": [_TOOL], "tool_choice": CANARY}, "tool_choice"),
    Bad("a choice of an unknown tool", {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": f"{CANARY}2"}}}, "tool_choice"),
    Bad("a choice without a name", {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {}}}, "tool_choice"),
    Bad("a choice of an unknown type", {"tools": [_TOOL], "tool_choice": {"type": CANARY, "function": {"name": CANARY}}}, "tool_choice"),
    Bad("a choice among tools that are texts", {"tools": [CANARY], "tool_choice": {"type": "function", "function": {"name": CANARY}}}, "tools"),
    Bad("a choice among tools that have no name", {"tools": [{"type": "function", "function": {}}], "tool_choice": {"type": "function", "function": {"name": CANARY}}}, "tools"),
    Bad("a choice among tools that are a number", {"tools": 5, "tool_choice": {"type": "function", "function": {"name": CANARY}}}, "tools"),
    Bad("a tool and a constraint at once", {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": CANARY}}, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
    Bad("a template of the caller's", {"chat_template": "{{ messages }}"}, "chat_template"),
    Bad("to go on and to begin at once", {"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
    Bad("old functions", {"functions": [{"name": CANARY}]}, "functions"),
    Bad("an old function's call", {"function_call": {"name": CANARY}}, "function_call"),
    Bad("a spoken answer", {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, "audio"),
    Bad("a search", {"web_search_options": {"user_location": CANARY}}, "web_search_options"),
    Bad("a prompt in place of messages", {"messages": None, "prompt": CANARY}, "prompt"),
    Bad("media options that are a text", {"media_io_kwargs": CANARY}, "media_io_kwargs"),
    Bad("options for a processor", {"mm_processor_kwargs": {"a": CANARY}}, "mm_processor_kwargs"),
]  # fmt: skip

COMPLETIONS = [
    *_wrong_types(
        {
            "prompt": (5, True, [True], [[True]], {"a": CANARY}, [[CANARY]], [None], [1.5], [True, CANARY], [CANARY, 1], [[1], CANARY]),
            "logprobs": (CANARY, [1], 1.5),
            "echo": (CANARY, 2),
            "suffix": (5, [CANARY]),
        }
    ),
    Bad("no prompt", {"prompt": None}, "prompt"),
    Bad("an empty list of prompts", {"prompt": []}, "prompt"),
    Bad("an empty prompt in a list", {"prompt": [[]]}, "prompt"),
    Bad("an id outside the vocabulary", {"prompt": [10**6]}, "prompt"),
    Bad("an id outside the vocabulary, by one", {"prompt": [4096]}, "prompt"),
    Bad("an id of too many digits", {"prompt": [10**30]}, "prompt"),
    Bad("a negative id", {"prompt": [-1]}, "prompt"),
    Bad("a negative id in a list of prompts", {"prompt": [[5, -1]]}, "prompt"),
    Bad("a prompt over the context", {"prompt": f"{CANARY} " * 3000}, "prompt"),
    Bad("ids over the context", {"prompt": [5] * 3000}, "prompt"),
    Bad("one prompt of several over the context", {"prompt": ["a", f"{CANARY} " * 3000]}, "prompt"),
    Bad("max_tokens of 0 without echo", {"max_tokens": 0}, "max_tokens"),
    Bad("a prompt that fills the context", {"prompt": [5] * 2048}, "prompt"),
    Bad("a prompt that fills the context, and no max_tokens", {"prompt": [5] * 2048, "max_tokens": None}, "prompt"),
    Bad("a prompt longer than the context", {"prompt": [5] * 2049}, "prompt"),
    Bad("a suffix", {"suffix": CANARY}, "suffix"),
    Bad("too many logprobs", {"logprobs": 100}, "logprobs"),
    Bad("logprobs below 0", {"logprobs": -2}, "logprobs"),
    Bad("embeddings in place of a prompt", {"prompt": None, "prompt_embeds": CANARY}, "prompt_embeds"),
    Bad("messages in place of a prompt", {"prompt": None, "messages": [{"role": "user", "content": CANARY}]}, "messages"),
    Bad("tools", {"tools": [_TOOL]}, "tools"),
]  # fmt: skip

# What is wrong before any field is looked at; the rest is the body's own.
RAW = [
    Bad("nothing", b"", "body"),
    Bad("no JSON", CANARY.encode(), "body"),
    Bad("half of it", b'{"messages": [{"role": "user"', "body"),
    Bad("a list", b'["canaryxylophone"]', "object"),
    Bad("a text", b'"canaryxylophone"', "object"),
    Bad("NaN", b'{"prompt": "a", "messages": [], "temperature": NaN}', "NaN"),
    Bad("infinity", b'{"prompt": "a", "messages": [], "temperature": -Infinity}', "Infinity"),
    Bad("a number over all floats", b'{"prompt": "a", "messages": [], "temperature": 1e999}', "number"),
    Bad("a number of a thousand digits", b'{"prompt": "a", "messages": [], "n": ' + b"9" * 5000 + b"}", "number"),
    Bad("a field twice", b'{"prompt": "a", "messages": [], "n": 1, "n": 2}', "n"),
    Bad("a field twice in a message", b'{"prompt": "a", "messages": [{"role": "user", "role": "user"}]}', "role"),
    Bad("half a surrogate pair", b'{"prompt": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
    Bad("half a surrogate pair in a name", b'{"prompt": "a", "messages": [], "\\udfff": 1}', "surrogate"),
    Bad("no UTF-8", b'{"prompt": "\xff"}', "UTF-8"),
    Bad("a byte-order mark", b'\xef\xbb\xbf{"prompt": "a"}', "byte-order"),
    Bad("lists without an end", b'{"prompt": ' + b"[" * 100_000, "nested"),
    Bad("lists nested too deeply", b'{"prompt": ' + b"[" * 100 + b"]" * 100 + b"}", "nested"),
]  # fmt: skip
