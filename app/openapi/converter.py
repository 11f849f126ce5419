"""From this project's own marshmallow fields and validators to JSON Schema, beyond what apispec knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow.validate import NoneOf, Range

from app.management.schemas import Lifetime, Moment, Scope
from app.schemas import LONGEST_STOP, NotBlank, Stop

if TYPE_CHECKING:
    from marshmallow import Schema, fields

_STOP = {"type": "string", "minLength": 1}


class Converter(OpenAPIConverter):
    """Also reads `JSON_SCHEMA` of a schema: what its fields together are checked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.field_mapping = {
            **self.field_mapping,
            Stop: (None, None),
            Moment: ("string", "date-time"),
            Scope: ("string", None),
            Lifetime: ("string", None),
        }
        for function in (_exclusive, _refused, _not_blank, _stop, _pattern):
            self.add_attribute_function(function)  # type: ignore[no-untyped-call]

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        """The JSON Schema of a schema, with its docstring as the description."""
        found: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        kind = schema if isinstance(schema, type) else type(schema)
        if kind.__doc__:  # up to what only the code has to know
            found["description"] = " ".join(kind.__doc__.split()).partition(" Loads to")[0].partition(": loads to")[0]
        more = getattr(kind, "JSON_SCHEMA", {})
        found["properties"] |= more.get("properties", {})
        return found | {name: value for name, value in more.items() if name != "properties"}


class Plugin(MarshmallowPlugin):
    """Apispec's plugin with that converter."""

    Converter = Converter


def _exclusive(_: Converter, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    """A bound that is not within the range itself, which apispec takes for one that is."""
    found: dict[str, Any] = {}
    for validator in field.validators:
        if not isinstance(validator, Range):
            continue
        if validator.min is not None and not validator.min_inclusive:
            found["exclusiveMinimum"] = ret.pop("minimum")
        if validator.max is not None and not validator.max_inclusive:
            found["exclusiveMaximum"] = ret.pop("maximum")
    return found


def _refused(_: Converter, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    del ret
    refused = [one for validator in field.validators if isinstance(validator, NoneOf) for one in validator.iterable]
    return {"not": {"enum": refused}} if refused else {}


def _not_blank(_: Converter, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    del ret
    return {"pattern": r"\S"} if any(isinstance(validator, NotBlank) for validator in field.validators) else {}


def _stop(_: Converter, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    del ret
    if not isinstance(field, Stop):
        return {}
    forms: list[dict[str, Any]] = [_STOP, {"type": "array", "items": _STOP, "maxItems": LONGEST_STOP}]
    return {"anyOf": [*forms, *([{"type": "null"}] if field.allow_none else [])]}


def _pattern(_: Converter, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    del ret
    return {"pattern": field.pattern} if isinstance(field, Scope | Lifetime) else {}
