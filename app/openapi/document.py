"""The whole document, from routes, their views and what these say of themselves."""

from __future__ import annotations

import re
from functools import partial
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from apispec import APISpec

from app.contract import TRACE_HEADER
from app.openapi.converter import Plugin
from app.openapi.failures import DIALECTS, Dialect
from app.openapi.headers import HEADERS, TRACEPARENT, on_the_wire
from app.openapi.operation import is_page, operation_of
from app.openapi.security import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flask import Flask
    from marshmallow import Schema
    from werkzeug.routing import Rule

    from app.openapi.operation import Answer, Operation, Stream

    _Refer = Callable[[type[Schema]], Mapping[str, Any]]

_VERSION = "3.1.1"
_JSON = "application/json"
_EVENTS = "text/event-stream"
# Flask adds these to every route: what they do follows from GET and from CORS.
_IMPLIED = {"HEAD", "OPTIONS"}

_DESCRIPTION = f"""\
Text from a model, by subscription: plain HTTP with a key as behind Azure API Management, and OpenAI's API.

- Every answer has the header `{TRACE_HEADER}`. Whatever fails answers with `code`, `message` and `traceId`; below `/v1`
  and `/openai` OpenAI's `error` stands beside them.
- A path that is not here is 404, a method that an operation does not have is 405 with `Allow`: both with that body.
- No cache may keep an answer (`Cache-Control: no-store`), this document apart, and none is a page
  (`X-Content-Type-Options: nosniff`, `Content-Security-Policy`, `Referrer-Policy`).
- `HEAD` works wherever `GET` does. `OPTIONS` answers a browser's preflight (CORS) for any origin.
- Bodies are one JSON object in UTF-8. Duplicate keys, `NaN`, a byte-order mark and lone surrogates are refused.
- An answer may get further fields; a field of a request that is not known is refused.
"""

_TAGS = {
    "Get Data": "A prompt, and its answer.",
    "OpenAI": "For OpenAI's and NVIDIA's clients, unmodified.",
    "Azure OpenAI": "The same for Azure's clients.",
    "My subscription": "What a caller may ask of its own subscription, with its own key.",
    "Management": "For the operator. Off without an admin token.",
    "Health": "For orchestrators.",
    "Description": "This document.",
    "Portal": "Pages for people.",
}

_PLACEHOLDER = re.compile(r"<(?:\w+:)?(\w+)>")
_PATH_EXAMPLES = {"sid": "acme", "pid": "gold", "id": "get-data-demo", "deployment": "get-data-demo"}


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of every route of an app, its pages apart.

    Raises:
        UndescribedError: a view does not say what it does.
    """
    plugin = Plugin()
    spec = _empty(plugin)
    refer = partial(_refer, plugin)
    rules = [rule for rule in app.url_map.iter_rules() if not is_page(app.view_functions[rule.endpoint])]
    for rule in sorted(rules, key=lambda rule: list(_TAGS).index(_described(app, rule).tag)):
        operation = _described(app, rule)
        for method in sorted((rule.methods or set()) - _IMPLIED):
            description = _operation(rule, operation, getdoc(app.view_functions[rule.endpoint]) or "", refer)
            spec.path(_PLACEHOLDER.sub(r"{\1}", rule.rule), operations={method.lower(): description})
    found: dict[str, Any] = spec.to_dict()
    return found


def _refer(plugin: Plugin, schema: type[Schema]) -> Mapping[str, Any]:
    """A reference to a schema; it is made a component where it is none yet."""
    if plugin.converter is None:
        raise TypeError("the plugin belongs to no document yet")
    found: dict[str, Any] = plugin.converter.resolve_nested_schema(schema)  # type: ignore[no-untyped-call]
    return found


def _described(app: Flask, rule: Rule) -> Operation:
    return operation_of(app.view_functions[rule.endpoint], rule.endpoint)


def _empty(plugin: Plugin) -> APISpec:
    spec = APISpec(
        title="Get Data gateway",
        version="1",
        openapi_version=_VERSION,
        plugins=[plugin],
        info={"description": _DESCRIPTION},
        servers=[{"url": "/", "description": "the gateway that serves this document"}],
        tags=[{"name": name, "description": description} for name, description in _TAGS.items()],
    )
    for name, scheme in SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    spec.components.parameter("traceparent", "header", TRACEPARENT)
    for dialect in DIALECTS.values():
        for status in dialect.failures:
            spec.components.response(_failure_name(dialect, status), _failure(dialect, status))
    return spec


def _operation(rule: Rule, operation: Operation, docstring: str, refer: _Refer) -> dict[str, Any]:
    summary, _, rest = docstring.partition("\n")
    dialect = DIALECTS[operation.dialect]
    found: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": _camel(rule.endpoint.rpartition(".")[2]),
        "summary": summary.rstrip("."),
        "description": "\n\n".join(part for part in (rest.strip(), operation.note) if part),
        "parameters": [*_path_parameters(rule), *operation.parameters, "traceparent"],
        "responses": {
            **{str(status): _answer(answer, refer) for status, answer in operation.answers.items()},
            **{str(status): _failure_name(dialect, status) for status in sorted(operation.errors)},
        },
        "security": [{name: []} for name in operation.security],
    }
    if operation.body is not None:
        content = {"schema": operation.body, "examples": _examples(operation.examples)}
        found["requestBody"] = {"required": True, "content": {_JSON: content}}
    return found


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "example": _PATH_EXAMPLES[name],
        }
        for name in _PLACEHOLDER.findall(rule.rule)
    ]


def _answer(answer: Answer, refer: _Refer) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.description, "headers": _headers(answer.headers)}
    content: dict[str, Any] = {}
    if answer.schema is not None:
        content[_JSON] = _content(answer.schema, answer.examples)
    if answer.stream is not None:
        content[_EVENTS] = _stream(answer.stream, refer)
    for media_type, example in answer.text.items():
        content[media_type] = {"schema": {"type": "string"}, "example": example}
    return {**found, "content": content} if content else found


def _content(schema: type[Schema], examples: Mapping[str, object]) -> dict[str, Any]:
    return {"schema": schema, "examples": _examples(examples)} if examples else {"schema": schema}


def _stream(stream: Stream, refer: _Refer) -> dict[str, Any]:
    return {
        "schema": {"type": "string", "description": stream.description},
        "examples": _examples({"whole": stream.example}),
        # What OpenAPI 3.1 has no words for: the data of the events, before `[DONE]`, and of one that tells a failure.
        "x-events": [refer(schema) for schema in stream.events],
        "x-error-event": refer(stream.error),
    }


def _failure(dialect: Dialect, status: int) -> dict[str, Any]:
    failure = dialect.failures[status]
    examples = {name: dialect.body(status, message) for name, message in failure.messages.items()}
    return {
        "description": failure.description,
        "headers": _headers(failure.headers),
        "content": {_JSON: _content(dialect.schema, examples)},
    }


def _failure_name(dialect: Dialect, status: int) -> str:
    return f"{dialect.prefix}Error{status}"


def _headers(names: Sequence[str]) -> dict[str, str]:
    return {on_the_wire(name): name for name in (TRACE_HEADER, *names)}


def _examples(examples: Mapping[str, object]) -> dict[str, Any]:
    return {_camel(name): {"summary": name, "value": value} for name, value in examples.items()}


def _camel(text: str) -> str:
    first, *rest = _words(text)
    return first[0].lower() + first[1:] + "".join(word[0].upper() + word[1:] for word in rest)


def _words(text: str) -> Iterable[str]:
    return re.findall(r"[A-Za-z0-9]+", text)
