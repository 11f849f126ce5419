"""Parameters of queries and headers that several operations have, in OpenAPI's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.contract import DEBUG_HEADER
from app.management.paging import DEFAULT_TOP, LARGEST_SKIP, LARGEST_TOP
from gateway.claims import HEADER
from gateway.sealing import LONGEST_KEY
from gateway.usage import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE: tuple[dict[str, Any], ...] = (
    {
        "name": "$top",
        "in": "query",
        "description": "Most items of the page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_TOP, "default": DEFAULT_TOP},
    },
    {
        "name": "$skip",
        "in": "query",
        "description": "How many items to pass over.",
        "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_SKIP, "default": 0},
    },
)


def _condition(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
        "example": "*",
    }


_IF_NONE_MATCH = _condition("If-None-Match", "ETags that the resource must not have; `*`: it must not be there.")
MAY_MATCH = (_condition("If-Match", "ETags that the resource may have; `*`: it must be there."), _IF_NONE_MATCH)
"""The conditions of a PUT."""

MUST_MATCH = (
    _condition("If-Match", "The ETag of the last GET, or `*` to change whatever is there.", required=True),
    _IF_NONE_MATCH,
)
"""The conditions of a PATCH and of a DELETE."""

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "description": "Makes it safe to send the request again: within 24 hours the same key with the same body gets the "
    "same answer and costs nothing, also while the first request still runs. With another body it is 400.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r"^[\x21-\x7e]+$"},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
"""https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header, of the operations that generate."""


DEBUG_AUTHORIZATION: dict[str, Any] = {
    "name": DEBUG_HEADER,
    "in": "header",
    "description": "A debug token from the operator, for a support case: the request's steps are kept for the "
    "operator, under the id in the answer's `Apim-Trace-Id`. A token that does not do changes nothing else.",
    "schema": {"type": "string"},
}


def usage_parameters(filters: Sequence[str], default_by: str) -> tuple[dict[str, Any], ...]:
    """What calls to sum, and by what."""
    return (
        {
            **_query(
                "since", "From when on: a date, or a moment with a time zone, as RFC 3339 has them.", "2026-11-01"
            ),
            "schema": _MOMENT,
        },
        {**_query("until", "Until before this moment; a date is the last day.", "2026-11-30"), "schema": _MOMENT},
        {
            **_query(
                "by", f"What to sum by, comma-separated: of {', '.join(DIMENSIONS)}; empty for one sum.", default_by
            ),
            "schema": {"type": "string", "default": default_by, "pattern": f"^({_DIMENSION}(,{_DIMENSION})*)?$"},
        },
        *(_query(name, f"Only calls of this {name}.", _EXAMPLES[name]) for name in filters),
    )


_DIMENSION = f"({'|'.join(DIMENSIONS)})"
_MOMENT = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}
_EXAMPLES = {"subscription": "acme", "product": "starter", "model": "get-data-demo", "operation": "Get Data"}


def _query(name: str, description: str, example: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"}, "example": example}
