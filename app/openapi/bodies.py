"""The main fields of OpenAI's requests, to describe them. What reads them is vLLM, which takes more."""

from __future__ import annotations

from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import Range

from app.schemas import Boolean, Integer, Number, Stop, Text

_MOST_CHOICES = 128
_LARGEST_SEED = 2**63 - 1


class ChatMessage(Schema):
    """One turn of a conversation."""

    class Meta:
        unknown = INCLUDE

    role = Text(required=True, metadata={"description": "`system`, `user`, `assistant`, `tool`, …"})
    content = fields.Raw(
        allow_none=True,
        metadata={
            "description": 'a text, or a list of parts such as `{"type": "text", "text": "…"}`',
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}],
        },
    )


class StreamOptions(Schema):
    """What a stream has beside the text."""

    class Meta:
        unknown = INCLUDE

    include_usage = Boolean(allow_none=True, metadata={"description": "end with a chunk that has the usage"})


class OpenAIBody(Schema):
    """What chat completions and completions have in common."""

    class Meta:
        unknown = INCLUDE

    model = Text(allow_none=True, metadata={"description": "one of `GET /v1/models`; the default where it is absent"})
    temperature = Number(validate=Range(0, 2), allow_none=True)
    top_p = Number(validate=Range(0, 1, min_inclusive=False), allow_none=True)
    n = Integer(validate=Range(1, _MOST_CHOICES), allow_none=True, metadata={"description": "how many choices"})
    max_tokens = Integer(validate=Range(min=1), allow_none=True)
    stop = Stop(allow_none=True)
    seed = Integer(validate=Range(-_LARGEST_SEED - 1, _LARGEST_SEED), allow_none=True)
    frequency_penalty = Number(validate=Range(-2, 2), allow_none=True)
    presence_penalty = Number(validate=Range(-2, 2), allow_none=True)
    logit_bias = fields.Dict(allow_none=True, metadata={"description": "from token ids to biases from -100 to 100"})
    response_format = fields.Dict(
        allow_none=True, metadata={"description": '`{"type": "json_object"}`, or a JSON schema: structured output'}
    )
    stream = Boolean(allow_none=True, metadata={"description": "answer with server-sent events"})
    stream_options = fields.Nested(StreamOptions, allow_none=True)
    user = Text(allow_none=True)


class ChatCompletionRequest(OpenAIBody):
    """OpenAI's chat completion: the main fields. vLLM's other ones are taken as well; one that nobody knows is 400."""

    messages = fields.List(fields.Nested(ChatMessage), required=True)
    max_completion_tokens = Integer(validate=Range(min=1), allow_none=True)
    logprobs = Boolean(allow_none=True)
    top_logprobs = Integer(allow_none=True, metadata={"description": "how many of the likeliest tokens to show"})
    tools = fields.List(fields.Dict(), allow_none=True)
    tool_choice = fields.Raw(
        allow_none=True,
        metadata={"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}, {"type": "null"}]},
    )
    reasoning_effort = Text(allow_none=True)


class CompletionRequest(OpenAIBody):
    """OpenAI's completion: the main fields. vLLM's other ones are taken as well; one that nobody knows is 400."""

    prompt = fields.Raw(
        required=True,
        metadata={
            "description": "a text, a list of texts, token ids, or a list of lists of them",
            "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}],
        },
    )
    echo = Boolean(allow_none=True)
    suffix = Text(allow_none=True)
    logprobs = Integer(allow_none=True)
