"""The API's operations as pages show them, read from the OpenAPI document and from nothing else: they cannot drift."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from app.portal.fields import Field, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.portal.fields import Resolve

Kind = Literal["get-data", "chat", "completion", "plain"]

PAGES_TAG = "Portal"
"""The group of what is a page already."""

_JSON = "application/json"
_EVENTS = "text/event-stream"
_ANSWER_KINDS: Mapping[str, Kind] = {
    "GetDataAnswer": "get-data",
    "ChatCompletion": "chat",
    "Completion": "completion",
}
_ADMIN = "adminToken"
_DEPLOYMENT = "{deployment}"
# What a form asks for by itself, or what cannot be typed into one line.
_APART = {"prompt", "system prompt", "system_prompt", "messages", "stream", "stream_options", "model", "n", "logprobs"}
_PLAIN_KINDS = {"number", "integer"}


@dataclass(frozen=True, slots=True)
class Example:
    """A body that was really sent."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation may answer.

    Attributes:
        status: of HTTP.
        reason: the status in words.
        description: when it comes, in Markdown.
        fields: of its body, where that is JSON.
        examples: whole bodies.
        messages: of an error, what it may say.
        headers: names and descriptions.
        stream: its other form, as events, in words.
        stream_example: all of a stream.
    """

    status: int
    reason: str
    description: str
    fields: Sequence[Field] = ()
    examples: Sequence[Example] = ()
    messages: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    stream: str = ""
    stream_example: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A field that a form has an input for: `kind` is number, integer, lines, text or json."""

    name: str
    kind: str
    rule: str
    description: str
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Form:
    """How an operation is tried.

    Attributes:
        kind: what is read from the answer.
        prompt: whether there is one.
        system: whether there is a system prompt.
        models: whether the body names a model.
        settings: inputs beside the prompt.
        example: a prompt.
    """

    kind: Kind
    prompt: bool = False
    system: bool = False
    models: bool = False
    settings: Sequence[Setting] = ()
    example: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    slug: str
    tag: str
    method: str
    path: str
    title: str
    summary: str
    description: str
    keyed: bool
    admin: bool
    parameters: Sequence[Field]
    fields: Sequence[Field]
    requests: Sequence[Example]
    answers: Sequence[Outcome]
    errors: Sequence[Outcome]
    form: Form | None


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that belong together."""

    name: str
    description: str
    operations: Sequence[Operation]


def groups(document: Mapping[str, Any]) -> list[Group]:
    """All operations of an OpenAPI document, in its order."""
    found = [_operation(document, *one) for one in _operations(document)]
    return [
        Group(tag["name"], tag["description"], own)
        for tag in document["tags"]
        if tag["name"] != PAGES_TAG and (own := [one for one in found if one.tag == tag["name"]])
    ]


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _operation(document: Mapping[str, Any], path: str, method: str, given: Mapping[str, Any]) -> Operation:
    def resolve(found: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in found:
            beside = {name: value for name, value in found.items() if name != "$ref"}
            inner: Any = document
            for part in found["$ref"].removeprefix("#/").split("/"):
                inner = inner[part]
            found = {**inner, **beside}
        return found

    outcomes = [_outcome(int(status), resolve(one), resolve) for status, one in given["responses"].items()]
    content = given.get("requestBody", {}).get("content", {}).get(_JSON, {})
    parameters = [_parameter(resolve(one), resolve) for one in given["parameters"]]
    schemes = {name for one in given["security"] for name in one}
    return Operation(
        slug=re.sub(r"(?<=[a-z])(?=[A-Z])", "-", given["operationId"]).lower(),
        tag=given["tags"][0],
        method=method.upper(),
        path=path,
        title=_title(given["operationId"]),
        summary=given["summary"],
        description=given["description"],
        keyed=bool(schemes - {_ADMIN}),
        admin=_ADMIN in schemes,
        parameters=parameters,
        fields=fields_of(content["schema"], resolve) if content else [],
        requests=_examples(content),
        answers=[one for one in outcomes if one.status < HTTPStatus.BAD_REQUEST],
        errors=[one for one in outcomes if one.status >= HTTPStatus.BAD_REQUEST],
        form=None if _ADMIN in schemes else _form(path, method, given, content, resolve),
    )


def _title(operation_id: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", operation_id)
    return words if words != words.lower() and words[0].isupper() else words[0].upper() + words[1:]


def _outcome(status: int, given: Mapping[str, Any], resolve: Resolve) -> Outcome:
    content = given.get("content", {})
    body = content.get(_JSON, {})
    examples = _examples(body)
    events = content.get(_EVENTS)
    plain = [Example(kind, one["example"]) for kind, one in content.items() if "example" in one]
    messages = [
        one["value"]["message"]
        for one in body.get("examples", {}).values()
        if isinstance(one["value"], dict) and "message" in one["value"]
    ]
    return Outcome(
        status,
        HTTPStatus(status).phrase,
        given["description"],
        fields_of(body["schema"], resolve) if body else [],
        [*examples, *plain],
        messages,
        [(name, resolve(one)["description"]) for name, one in given.get("headers", {}).items()],
        events["schema"]["description"] if events else "",
        next(iter(events["examples"].values()))["value"] if events else "",
    )


def _examples(content: Mapping[str, Any]) -> list[Example]:
    return [
        Example(one["summary"], json.dumps(one["value"], indent=2, ensure_ascii=False))
        for one in content.get("examples", {}).values()
    ]


def _parameter(given: Mapping[str, Any], resolve: Resolve) -> Field:
    (field,) = fields_of(
        {"properties": {given["name"]: given["schema"]}, "required": [given["name"]] if given.get("required") else []},
        resolve,
    )
    return Field(
        given["name"],
        field.kind,
        field.rule,
        given.get("description", ""),
        field.required,
        given["in"],
        str(given.get("example", "")),
    )


def _form(
    path: str, method: str, given: Mapping[str, Any], content: Mapping[str, Any], resolve: Resolve
) -> Form | None:
    kind = _answer_kind(given)
    if kind == "plain":
        return Form(kind) if method == "get" else None
    properties = resolve(content["schema"])["properties"]
    example = next(iter(content["examples"].values()))["value"]
    messages = example.get("messages", [])
    return Form(
        kind,
        prompt=True,
        system=kind == "chat" or "system prompt" in properties,
        models=_DEPLOYMENT not in path,
        settings=[setting for name, schema in properties.items() if (setting := _setting(name, resolve(schema)))],
        example=example["prompt"] if "prompt" in example else messages[-1]["content"],
    )


def _answer_kind(given: Mapping[str, Any]) -> Kind:
    schema = given["responses"].get("200", {}).get("content", {}).get(_JSON, {}).get("schema", {})
    return _ANSWER_KINDS.get(schema.get("$ref", "").rpartition("/")[2], "plain")


def _setting(name: str, schema: Mapping[str, Any]) -> Setting | None:
    (field,) = fields_of({"properties": {name: schema}}, lambda one: one, depth=0)
    if name in _APART:
        return None
    kind = {"stop": "lines", "response_format": "json"}.get(name) or next(
        (kind for kind in _PLAIN_KINDS if kind in field.kind.split()), None
    )
    if kind is None:
        return None
    return Setting(name, kind, field.rule, field.description, schema.get("minimum"), schema.get("maximum"))
