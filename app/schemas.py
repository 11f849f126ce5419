"""The bodies of the two Get Data operations, from JSON to the gateway's types. No loose dict goes beyond this."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar, cast

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load
from marshmallow.exceptions import SCHEMA
from marshmallow.validate import NoneOf, OneOf, Range, Validator

from gateway.engine import Message, Sampling
from gateway.errors import InvalidRequestError
from gateway.names import quoted, shown
from gateway.service import GenerateRequest

LONGEST_STOP = 4
"""The most texts at which an answer may end."""

# Above the size of every vocabulary, where a larger one changes nothing; the engine counts in 32 bits.
_LARGEST_TOP_K = 2**31 - 1
_SMALLEST_SEED, _LARGEST_SEED = -(2**63), 2**63 - 1


class NotBlank(Validator):
    """A text has more than white space in it."""

    def __call__(self, value: str) -> str:
        """The text. Raises ValidationError."""
        if not value.strip():
            raise ValidationError("should not be blank")
        return value


class Number(fields.Float):
    """A JSON number: not a string with digits in it, and not `true`."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be a number",
        "too_large": "should be a smaller number",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Integer(fields.Integer):
    """A JSON number without a fraction."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be an integer"
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Boolean(fields.Boolean):
    """`true` or `false`: not `1`, and not "yes"."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be true or false"
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Text(fields.String):
    """A JSON string."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be a string"
    }


class Stop(fields.Field[tuple[str, ...]]):
    """A string, or a list of up to four."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": f"should be a string or a list of up to {LONGEST_STOP} strings, none of them empty",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        del attr, data, kwargs
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or len(stops) > LONGEST_STOP:
            raise self.make_error("invalid")
        if not all(isinstance(stop, str) and stop for stop in stops):
            raise self.make_error("invalid")
        return tuple(stops)


class JsonSchemaFormat(Schema):
    """`json_schema` of a `response_format`, as OpenAI has it."""

    class Meta:
        unknown = RAISE

    name = Text(load_default="answer")
    description = Text()
    schema = fields.Dict(keys=fields.String(), required=True)
    strict = Boolean()


class ResponseFormat(Schema):
    """`response_format`, as OpenAI has it. Loads to the JSON Schema that the answer must fit, or None for text."""

    class Meta:
        unknown = RAISE

    JSON_SCHEMA: ClassVar = {  # what `_to_schema` asks for
        "if": {"required": ["type"], "properties": {"type": {"const": "json_schema"}}},
        "then": {"required": ["json_schema"]},
    }

    type = Text(required=True, validate=OneOf(["text", "json_object", "json_schema"]))
    json_schema = fields.Nested(JsonSchemaFormat)

    @post_load
    def _to_schema(self, data: dict[str, Any], **_: Any) -> dict[str, Any] | None:
        match data:
            case {"type": "json_schema", "json_schema": {"schema": schema}}:
                return dict(schema)
            case {"type": "json_schema"}:
                raise ValidationError("is required with the type `json_schema`", "json_schema")
            case {"type": "json_object"}:
                return {"type": "object"}
            case _:
                return None


class GetDataSchema(Schema):
    """The body of Get Data."""

    class Meta:
        unknown = RAISE

    prompt = Text(required=True, validate=NotBlank(), metadata={"description": "the user's message"})
    temperature = Number(validate=Range(0, 2), metadata={"description": "0 is greedy"})
    top_p = Number(validate=Range(0, 1, min_inclusive=False), metadata={"description": "nucleus sampling"})
    top_k = Integer(
        validate=[Range(min=-1), NoneOf([0], error="should be -1, or at least 1")],
        metadata={"description": "how many of the likeliest tokens; -1 for all"},
    )
    max_tokens = Integer(
        validate=Range(min=1),
        metadata={"description": "most tokens to generate; cut to what the context and the caller's product leave"},
    )
    stop = Stop(metadata={"description": "texts at which the answer ends"})
    seed = Integer(
        validate=Range(_SMALLEST_SEED, _LARGEST_SEED),
        metadata={"description": "the same seed, prompt and model give the same text"},
    )
    frequency_penalty = Number(validate=Range(-2, 2))
    presence_penalty = Number(validate=Range(-2, 2))
    response_format = fields.Nested(ResponseFormat, metadata={"description": "structured output"})
    model = Text(metadata={"description": "which served model or adapter"})
    stream = Boolean(load_default=False, metadata={"description": "answer with server-sent events"})

    @post_load
    def _to_request(self, data: dict[str, Any], **_: Any) -> GenerateRequest:
        prompt, system = data.pop("prompt"), data.pop("system_prompt", "")
        stream, model = data.pop("stream"), data.pop("model", None)
        messages: tuple[Message, ...] = (Message("user", prompt),)
        if system.strip():
            messages = (Message("system", system), *messages)
        if "top_k" in data:
            data["top_k"] = min(data["top_k"], _LARGEST_TOP_K)
        sampling = Sampling(json_schema=data.pop("response_format", None), **data)
        return GenerateRequest(messages, sampling, model, stream)


class SystemPromptGetDataSchema(GetDataSchema):
    """The body of System Prompt Get Data."""

    JSON_SCHEMA: ClassVar = {  # what `_one_spelling` takes
        "properties": {"system_prompt": {"type": "string", "description": "another spelling of `system prompt`"}},
        "not": {"required": ["system prompt", "system_prompt"]},
    }

    system_prompt = Text(data_key="system prompt", metadata={"description": "the system message"})

    @pre_load
    def _one_spelling(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "system_prompt" not in data:
            return data
        if "system prompt" in data:
            raise ValidationError("is the same field as `system prompt`: send one of them", "system_prompt")
        return _renamed(data, "system_prompt", "system prompt")

    def handle_error(self, error: ValidationError, data: Any, **_: Any) -> None:
        """Name the field as it was sent."""
        if "system_prompt" in data and isinstance(error.messages, dict):
            error.messages = _renamed(error.messages, "system prompt", "system_prompt")


def _renamed(found: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {(new if name == old else name): value for name, value in found.items()}


class RegenerateKeySchema(Schema):
    """The body of POST /me/regenerateKey."""

    class Meta:
        unknown = RAISE

    key = Text(required=True, validate=OneOf(["primary", "secondary"], error="should be `primary` or `secondary`"))


def load(schema: Schema, body: dict[str, Any]) -> GenerateRequest:
    """The request that a body makes.

    Raises:
        InvalidRequestError: the first field at fault, named.
    """
    request: GenerateRequest = checked(schema, body)
    return request


def checked(schema: Schema, body: dict[str, Any]) -> Any:
    """What a schema makes of a body. Raises InvalidRequestError as `load`."""
    try:
        return schema.load(body)
    except ValidationError as error:
        path, text = _first_fault(error.messages)
        raise InvalidRequestError(_explain(schema, path, text), param=shown(".".join(path))) from None


def _first_fault(messages: Any) -> tuple[list[str], str]:
    path: list[str] = []
    while isinstance(messages, dict):
        name, messages = next(iter(messages.items()))
        if name != SCHEMA or messages == [_UNKNOWN]:  # else a fault of the object as a whole
            path.append(str(name))
    return path, str(messages[0] if isinstance(messages, list) else messages)


def _explain(schema: Schema, path: list[str], text: str) -> str:
    if text != _UNKNOWN:
        return f"Field {quoted('.'.join(path))} {_lower(text)}."
    *outer, name = path
    if not outer and name in {"system prompt", "system_prompt"}:
        operation = "System Prompt Get Data: call POST /System%20Prompt%20Get%20Data"
        return f"Field {quoted(name)} belongs to the operation {operation}."
    known = _known(schema, outer)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean `{'.'.join([*outer, close[0]])}`?" if close else f"Known fields are: {', '.join(known)}."
    return f"Field {quoted('.'.join(path))} is not known. {hint}"


def _known(schema: Schema, outer: list[str]) -> list[str]:
    """The names of the fields of a schema, or of the one that is nested in it under `outer`."""
    for name in outer:
        found = next(field for key, field in schema.fields.items() if (field.data_key or key) == name)
        schema = cast("fields.Nested", found).schema
    return [field.data_key or name for name, field in schema.fields.items()]


_UNKNOWN = "Unknown field."
_MARSHMALLOW_WORDS = {
    "Missing data for required field.": "is required",
    "Field may not be null.": "should not be null: leave it out for the default",
    "Not a valid mapping type.": "should be an object",
    "Invalid input type.": "should be an object",
    "Not a valid list.": "should be a list",
}


def _lower(text: str) -> str:
    if text in _MARSHMALLOW_WORDS:
        return _MARSHMALLOW_WORDS[text]
    text = text.rstrip(".").replace("Must be", "should be")
    return text[0].lower() + text[1:]
