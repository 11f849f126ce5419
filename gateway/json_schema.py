"""JSON Schema as callers send it (https://json-schema.org/draft/2020-12): what makes one none at all.

What turns a schema into a grammar takes some faulty ones for schemas that allow anything, so that an answer would not
be what was asked for. Each place is looked at once: a schema is as long as its sender likes.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
_SCHEMA = {
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_BY_NAME = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
_NUMBERS = {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}
_COUNTS = {
    "maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength", "minProperties",
}  # fmt: skip
_TEXTS = {"$anchor", "$id", "$ref", "$schema", "description", "format", "pattern", "title"}

KEYWORDS = _SCHEMA | _LISTS | _BY_NAME | _NUMBERS | _COUNTS | _TEXTS | {"const", "enum", "required", "type"}

_LOOKAROUND = re.compile(r"(?<!\\)(?:\\\\)*\(\?<?[=!]")


def fault(schema: object, *, held: bool = True) -> str | None:
    """The first thing that is wrong with a schema, as the end of a sentence that begins with its field.

    It names keywords of JSON Schema only, nothing that the caller made up.

    Args:
        schema: as it came.
        held: whether the model is to be held to it, so that it has to be a grammar too.
    """
    if not isinstance(schema, dict):
        return "should be a JSON schema, which is an object"
    inside: list[object] = [schema]
    while inside:
        one = inside.pop()
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            return "should have an object, true or false wherever JSON Schema has a schema"
        for keyword in one.keys() & KEYWORDS:
            if (words := _fault_of(keyword, one[keyword])) is not None:
                return f"should have {words} as `{keyword}`"
        patterns = [one.get("pattern", ""), *one.get("patternProperties", ())]
        if held and any(has_lookaround(pattern) for pattern in patterns):
            return "should have regular expressions without lookaround (`(?=`, `(?!`, `(?<=`, `(?<!`)"
        if "$ref" in one and not _leads_somewhere(schema, one["$ref"]):
            return "should have a `$ref` that points into the schema itself, such as `#/$defs/name`"
        inside.extend(_schemas_in(one))
    return None


def has_lookaround(expression: str) -> bool:
    """Whether a regular expression looks ahead or behind, which no grammar can and which would be ignored."""
    return _LOOKAROUND.search(expression) is not None


def _fault_of(keyword: str, value: Any) -> str | None:
    """What a keyword should have had."""
    words, right = None, True
    if keyword in _TEXTS:
        words, right = "a string", isinstance(value, str)
    elif keyword in _COUNTS:
        words, right = "a whole number from 0", _is_number(value) and value >= 0 and value == int(value)
    elif keyword in _NUMBERS:  # those that exclude were true or false in draft 4
        words, right = "a number", _is_number(value) or ("xclusive" in keyword and isinstance(value, bool))
    elif keyword in _LISTS:
        words, right = "a list of schemas, not an empty one", isinstance(value, list) and bool(value)
    elif keyword in _BY_NAME:
        words, right = "an object", isinstance(value, dict)
    elif keyword == "enum":
        words, right = "a list, not an empty one", isinstance(value, list) and bool(value)
    elif keyword == "required":  # in draft 3 it was true or false, beside the property
        words, right = "a list of strings", isinstance(value, bool) or _are_strings(value)
    elif keyword == "type":
        types = value if isinstance(value, list) else [value]
        words, right = f"one of {', '.join(sorted(_TYPES))}", _are_strings(types) and set(types) <= _TYPES
    return None if right else words


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _schemas_in(schema: dict[str, Any]) -> list[object]:
    found: list[object] = []
    for keyword in schema.keys() & (_SCHEMA | _LISTS | _BY_NAME):
        value = schema[keyword]
        if keyword in _BY_NAME:
            found.extend(value.values())
        elif isinstance(value, list):  # `items` was a list before draft 2020-12
            found.extend(value)
        else:
            found.append(value)
    return found


def _leads_somewhere(schema: object, reference: str) -> bool:
    """Whether a JSON Pointer (RFC 6901) behind `#` has a target."""
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    for part in unquote(reference[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict) and name in schema:
            schema = schema[name]
        elif isinstance(schema, list) and name.isdecimal() and int(name) < len(schema):
            schema = schema[int(name)]
        else:
            return False
    return True
