"""JSON Schema in words: the fields of a body, one after the other, each with its type and its rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Resolve = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body, or a parameter.

    Attributes:
        name: with the names of the fields around it, as in `usage.prompt_tokens` or `messages[].role`.
        kind: its JSON type.
        rule: what it may be, in words; empty where anything of its type will do.
        description: in Markdown.
        required: whether it has to be there.
        where: `path`, `query` or `header` for a parameter.
        example: of a parameter.
    """

    name: str
    kind: str
    rule: str
    description: str
    required: bool
    where: str = ""
    example: str = ""


def fields_of(schema: Mapping[str, Any], resolve: Resolve, outer: str = "", depth: int = _DEEPEST) -> list[Field]:
    """The fields of an object's schema, each followed by those inside it.

    Args:
        schema: of the object.
        resolve: follows a reference.
        outer: what stands before the names.
        depth: how far to look inside.
    """
    found: list[Field] = []
    whole = resolve(schema)
    for name, given in whole.get("properties", {}).items():
        own = _chosen(resolve(given), resolve)
        full = outer + name
        required = name in whole.get("required", [])
        found.append(Field(full, _kind(own), rule(own), own.get("description", ""), required))
        if depth > 0:
            found += fields_of(own, resolve, f"{full}.", depth - 1)
            if "items" in own:
                found += fields_of(own["items"], resolve, f"{full}[].", depth - 1)
    return found


def _chosen(schema: Mapping[str, Any], resolve: Resolve) -> Mapping[str, Any]:
    """With references in `anyOf` followed; an object that may be null too is told as that object."""
    if "anyOf" not in schema:
        return schema
    forms = [resolve(one) for one in schema["anyOf"]]
    objects = [one for one in forms if "properties" in one]
    inside = {"properties": objects[0]["properties"], "required": objects[0].get("required", [])} if objects else {}
    return {**schema, "anyOf": forms, **inside}


def rule(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    said: list[str] = []
    if "enum" in schema:
        values = [_value(value) for value in schema["enum"] if value is not None]
        said.append("one of " + ", ".join(values) if len(values) > 1 else f"always {values[0]}")
    if "const" in schema:
        said.append(_value(schema["const"]))
    said += _range(schema)
    excluded = schema.get("not", {}).get("enum", [])
    if excluded:
        said.append("not " + " or ".join(map(_value, excluded)))
    if schema.get("pattern") == r"\S":
        said.append("not blank")
    if "maxItems" in schema:
        said.append(f"up to {schema['maxItems']}")
    if "default" in schema:
        said.append(f"default {_value(schema['default'])}")
    said += [told for one in schema.get("anyOf", []) if (told := rule(one))]
    return ", ".join(said)


def _range(schema: Mapping[str, Any]) -> list[str]:
    low, over = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, under = schema.get("maximum"), schema.get("exclusiveMaximum")
    start = f"over {_value(over)}" if over is not None else None if low is None else _value(low)
    end = f"under {_value(under)}" if under is not None else None if high is None else _value(high)
    if start is None and end is None:
        return []
    if end is None:
        return [f"at least {start}" if over is None else str(start)]
    if start is None:
        return [f"at most {end}" if under is None else end]
    return [f"{start} to {end}" if over is None else f"{start}, up to {end}"]


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    types = schema.get("type", "object" if "properties" in schema else "any")
    names = [types] if isinstance(types, str) else list(types)
    if "array" in names and isinstance(inner := schema.get("items", {}).get("type", "object"), str) and inner:
        names[names.index("array")] = f"array of {inner}s" if "items" in schema else "array"
    return " or ".join(names)


def _value(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)
