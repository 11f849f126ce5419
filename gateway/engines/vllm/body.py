"""A body of OpenAI's API before vLLM reads it: what OpenAI refuses and vLLM would take, ignore or stumble over."""

from __future__ import annotations

import difflib
import functools
import json
import re
import types
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias, Union, get_args, get_origin

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.sampling_params import StructuredOutputsParams

from gateway.engines.vllm.messages import check_messages
from gateway.errors import InvalidRequestError
from gateway.json_schema import fault, has_lookaround
from gateway.names import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.engine import OpenAIRequest

Kind: TypeAlias = Any  # one of vLLM's two classes, whose types are not read

# Fields of vLLM's that steer the engine or other callers' requests: they are the gateway's to set.
_OURS = ("request_id", "cache_salt", "priority", "session_id", "kv_transfer_params", "ec_transfer_params")
# Fields of OpenAI's that ask for nothing that an answer would have to show, and what they should be.
_HINTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "metadata": (
        "an object of strings",
        lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values()),
    ),
    "moderation": ("an object", lambda value: isinstance(value, dict)),
    "prediction": ("an object", lambda value: isinstance(value, dict)),
    "prompt_cache_key": ("a string", lambda value: isinstance(value, str)),
    "prompt_cache_options": ("an object", lambda value: isinstance(value, dict)),
    "prompt_cache_retention": ("a string", lambda value: isinstance(value, str)),
    "safety_identifier": ("a string", lambda value: isinstance(value, str)),
    "service_tier": (
        "one of auto, default, flex, scale, priority",
        lambda value: value in ("auto", "default", "flex", "scale", "priority"),
    ),
    "store": ("true or false", lambda value: isinstance(value, bool)),
    "verbosity": ("one of low, medium, high", lambda value: value in ("low", "medium", "high")),
}
# Fields that ask for what is not served.
_NOT_SERVED = {"audio", "best_of", "function_call", "functions", "use_beam_search", "web_search_options"}

_SCALARS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
_SHAPES: dict[str, tuple[type, str]] = {
    "logit_bias": (dict, "an object of token ids and biases"),
    "messages": (list, "a list of messages"),
    "response_format": (dict, 'an object such as {"type": "json_object"}'),
    "stream_options": (dict, 'an object such as {"include_usage": true}'),
    "structured_outputs": (dict, 'an object such as {"choice": ["yes", "no"]}'),
    "tools": (list, "a list of tools"),
}
_LARGEST_BIAS = 100
_MOST_CHOICES = 128
_TOKEN_ID = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_FORMATS = ("text", "json_object", "json_schema", "structural_tag")
_CONSTRAINTS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
_CONSTRAINT_FIELDS = {field.name for field in fields(StructuredOutputsParams) if not field.name.startswith("_")}


def kind_of(request: OpenAIRequest) -> Kind:
    """VLLM's class for a request."""
    return ChatCompletionRequest if request.operation == "chat.completions" else CompletionRequest


def checked(request: OpenAIRequest, template: str) -> dict[str, Any]:
    """The fields that vLLM is to read.

    Args:
        request: as it came.
        template: the model's chat template, which may know more roles than OpenAI has.

    Raises:
        InvalidRequestError: a field is not one of OpenAI's or vLLM's, or not what it should be.
    """
    kind = kind_of(request)
    body = _known(request.body, kind)
    for name, value in body.items():
        _check_type(kind, name, value)
    for name, check in _CHECKS.items():
        if name in body:
            check(body[name])
    if "tools" in body:  # one that the model may leave is not a grammar
        _check_tools(body["tools"], held=body.get("tool_choice", "auto") not in ("auto", "none"))
    if "tool_choice" in body:
        _check_tool_choice(body["tool_choice"], body.get("tools"))
    if "messages" in body:
        check_messages(body["messages"], template)
    return body


def _known(body: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """One that nobody knows is refused by name, as OpenAI does; vLLM ignores it."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in body.keys() - kind.model_fields.keys() - _HINTS.keys() - {"modalities"} - _NOT_SERVED:
        close = difflib.get_close_matches(name, kind.model_fields, n=1)
        hint = f"Did you mean `{close[0]}`?" if close else "Leave it out."
        raise InvalidRequestError(f"Field {quoted(name)} is not known. {hint}", param=shown(name))
    for name in given.keys() & _NOT_SERVED:
        if given[name]:
            raise InvalidRequestError(f"Field `{name}` is not served here. Leave it out.", param=name)
    for name in given.keys() & _HINTS.keys():
        words, right = _HINTS[name]
        if not right(given[name]):
            _refuse(name, words)
    if given.get("modalities", ["text"]) != ["text"]:
        _refuse("modalities", '["text"]: the model writes text')
    return {name: given[name] for name in given if name in kind.model_fields and name not in _OURS}


def _refuse(field: str, words: str) -> NoReturn:
    raise InvalidRequestError(f"Field `{field}` should be {words}.", param=field)


def _check_type(kind: Kind, name: str, value: object) -> None:
    """Pydantic would take true for 1, and "1" for it too; OpenAI does not."""
    scalars = _scalars(kind).get(name)
    if scalars is not None and not any(_is_a(scalar, value) for scalar in scalars):
        _refuse(name, " or ".join(_SCALARS[scalar] for scalar in scalars))
    shape, words = _SHAPES.get(name, (object, ""))
    if not isinstance(value, shape):
        _refuse(name, words)


def _is_a(scalar: type, value: object) -> bool:
    if isinstance(value, bool) or scalar is bool:
        return isinstance(value, bool) and scalar is bool
    if scalar is int:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float if scalar is float else scalar)


@functools.cache
def _scalars(kind: Kind) -> dict[str, list[type]]:
    """The fields that are no lists or objects, and what they may be."""
    found = {name: _forms(field.annotation) for name, field in kind.model_fields.items()}
    return {name: forms for name, forms in found.items() if forms and all(form in _SCALARS for form in forms)}


def _forms(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _forms(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [form for part in get_args(annotation) if part is not type(None) for form in _forms(part)]
    return [annotation]


def _check_bias(biases: dict[str, Any]) -> None:
    if not all(_TOKEN_ID.fullmatch(token) for token in biases):
        _refuse("logit_bias", "an object whose names are token ids")
    if not all(_is_a(float, bias) and abs(bias) <= _LARGEST_BIAS for bias in biases.values()):
        _refuse("logit_bias", f"an object whose values are numbers from -{_LARGEST_BIAS} to {_LARGEST_BIAS}")


def _check_prompt(prompt: object) -> None:
    if prompt == []:
        _refuse("prompt", "a text, a list of texts, token ids or a list of lists of them, and not empty")
    for part in prompt if isinstance(prompt, list) else []:
        if any(isinstance(one, bool) for one in (part if isinstance(part, list) else [part])):
            _refuse("prompt", "a text, a list of texts, token ids or a list of lists of them")


def _check_n(choices: int) -> None:
    if choices > _MOST_CHOICES:
        _refuse("n", f"at most {_MOST_CHOICES}")


def _check_max_completion_tokens(most: int) -> None:
    if most < 1:
        _refuse("max_completion_tokens", "at least 1")


def _check_schema(field: str, schema: object, *, held: bool = True) -> None:
    if (words := fault(schema, held=held)) is not None:
        raise InvalidRequestError(f"Field `{field}` {words}.", param=field)


def _check_structural_tag(field: str, tag: object) -> None:
    """The schemas in it, wherever they are; the rest is vLLM's to check."""
    inside = [tag]
    while inside:
        one = inside.pop()
        if isinstance(one, list):
            inside.extend(one)
        elif isinstance(one, dict):
            schemas = [value for name, value in one.items() if name in {"schema", "json_schema"}]
            for schema in schemas:
                if isinstance(schema, dict):
                    _check_schema(field, schema)
            inside.extend(value for name, value in one.items() if name not in {"schema", "json_schema"})


def _text_of_json(field: str, text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        _refuse(field, "JSON, or the text of it")
    except RecursionError:
        _refuse(field, "JSON that is nested less deeply")
    return found


def _check_response_format(form: dict[str, Any]) -> None:
    if form.get("type") not in _FORMATS:
        _refuse("response_format.type", f"one of {', '.join(_FORMATS)}")
    if form["type"] == "structural_tag":
        _check_structural_tag("response_format", form)
    if form["type"] != "json_schema":
        return
    inner = form.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or inner.get("schema") is None:
        _refuse("response_format.json_schema", "an object with a `name` and a `schema`")
    _check_schema("response_format.json_schema.schema", inner["schema"])


def _check_structured_outputs(form: dict[str, Any]) -> None:
    given = [name for name in _CONSTRAINTS if form.get(name) is not None]
    if form.keys() - _CONSTRAINT_FIELDS or len(given) != 1:
        _refuse("structured_outputs", f"an object with one of {', '.join(_CONSTRAINTS)}")
    match given, form[given[0]]:
        case ["json"], schema:
            field = "structured_outputs.json"
            _check_schema(field, _text_of_json(field, schema) if isinstance(schema, str) else schema)
        case ["structural_tag"], tag:
            field = "structured_outputs.structural_tag"
            _check_structural_tag(field, _text_of_json(field, tag) if isinstance(tag, str) else tag)
        case ["regex"], expression:
            if not isinstance(expression, str) or has_lookaround(expression):
                _refuse("structured_outputs.regex", "a regular expression without lookaround")
        case ["choice"], choices:
            if not isinstance(choices, list) or not choices or not all(isinstance(one, str) for one in choices):
                _refuse("structured_outputs.choice", "a list of texts, not an empty one")
        case _:
            pass


def _check_tools(tools: list[Any], *, held: bool) -> None:
    for number, tool in enumerate(tools):
        field = f"tools.{number}"
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
            _refuse(field, 'an object such as {"type": "function", "function": {"name": "…"}}')
        function = tool["function"]
        if not isinstance(function.get("name"), str) or _TOOL_NAME.fullmatch(function["name"]) is None:
            _refuse(f"{field}.function.name", "1 to 64 letters, digits, underscores and dashes")
        if function.get("parameters") is not None:
            _check_schema(f"{field}.function.parameters", function["parameters"], held=held)


def _check_tool_choice(choice: object, tools: list[Any] | None) -> None:
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            _refuse("tool_choice", "none, auto, required, or an object that names a tool")
        return
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        _refuse("tool_choice", 'none, auto, required, or {"type": "function", "function": {"name": "…"}}')
    if function["name"] not in {tool["function"]["name"] for tool in tools or ()}:
        _refuse("tool_choice.function.name", "the name of one of the `tools`")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "logit_bias": _check_bias,
    "max_completion_tokens": _check_max_completion_tokens,
    "n": _check_n,
    "prompt": _check_prompt,
    "response_format": _check_response_format,
    "structured_outputs": _check_structured_outputs,
}
