"""The description as a caller gets it, and what holds requests and answers against it."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from app.routes import description
from tests.management.conftest import admin, clock, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.http.conftest import Reply

__all__ = ["admin", "clock", "store"]

# vLLM's own answers, of which the main fields are described, and this document itself.
_OPEN = {"ChatCompletion", "ChatCompletionChunk", "Completion", "OpenAIUsage", "Description"}
# Headers that an answer has only where it is described.
_TELLING = {"etag", "retry-after", "www-authenticate", "allow", "x-trace-id", "idempotent-replayed", "apim-trace-id"}


@dataclass
class Described:
    """The document, read. `seen` has each answer that was held against it: method, path, status."""

    document: dict[str, Any]
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def resolve(self, found: dict[str, Any]) -> dict[str, Any]:
        """What a reference leads to; anything else as it is."""
        if "$ref" not in found:
            return found
        inner: Any = self.document
        for part in found["$ref"].removeprefix("#/").split("/"):
            inner = inner[part]
        return self.resolve(inner)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of each operation."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield method, path, operation

    def faults(self, schema: dict[str, Any], value: object, *, strict: bool = False) -> list[str]:
        """What is wrong with a value; strictly, a field that is not described is wrong too."""
        components = copy.deepcopy(self.document["components"])
        if strict:
            for name, component in components["schemas"].items():
                if name not in _OPEN:
                    component.setdefault("additionalProperties", False)
        validator = Draft202012Validator(
            {**schema, "components": components}, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def body_schema(self, method: str, path: str) -> dict[str, Any]:
        """The schema of an operation's request."""
        found: dict[str, Any] = self.document["paths"][path][method]["requestBody"]["content"]["application/json"]
        return found["schema"]  # type: ignore[no-any-return]

    def check(self, method: str, path: str, reply: Reply) -> Reply:
        """An answer is as the description has it: its status, its headers, its body."""
        responses = self.document["paths"][path][method]["responses"]
        assert str(reply.status) in responses, (method, path, reply.status, reply.body)
        self.seen.add((method, path, str(reply.status)))
        described = self.resolve(responses[str(reply.status)])
        self._check_headers(described, reply)
        content = described.get("content", {})
        kind = reply.headers.get("Content-Type", "").partition(";")[0]
        if not content:
            assert reply.body == b""
            return reply
        assert kind in content, (kind, list(content))
        if kind == "text/event-stream":
            check_stream(self, content[kind], reply.body.decode())
        elif kind in {"text/plain", "text/html"}:
            assert self.faults(content[kind]["schema"], reply.body.decode()) == []
        else:
            assert self.faults(content[kind]["schema"], json.loads(reply.body), strict=True) == []
        return reply

    def _check_headers(self, described: dict[str, Any], reply: Reply) -> None:
        headers = {name.lower(): self.resolve(header) for name, header in described["headers"].items()}
        given = {name.lower(): value for name, value in reply.headers.items()}
        telling = {name for name in given if name in _TELLING or name.startswith("x-ratelimit-")}
        assert telling <= headers.keys(), telling - headers.keys()
        for name, header in headers.items():
            assert name in given or not header["required"], name
            if name in given:
                schema = header["schema"]
                value = int(given[name]) if schema["type"] == "integer" else given[name]
                assert self.faults(schema, value) == []


def check_stream(described: Described, content: dict[str, Any], text: str) -> None:
    """Every event is one that is described, and the last is `[DONE]` or a failure."""
    *events, rest = text.split("\n\n")
    assert rest == ""
    assert described.faults(content["schema"], text) == []
    last = events.pop()
    if last != "data: [DONE]":
        data = last.removeprefix("event: error\n").removeprefix("data: ")
        assert described.faults(content["x-error-event"], json.loads(data), strict=True) == []
    assert events
    for event in events:
        data = json.loads(event.removeprefix("data: "))
        found = [described.faults(schema, data, strict=True) for schema in content["x-events"]]
        assert [] in found, found


@pytest.fixture
def described() -> Described:
    return Described(json.loads(description()))
