"""The headers of answers and of requests that are not of one operation alone, in OpenAPI's form."""

from __future__ import annotations

from typing import Any

from app.auth import ADMIN_CHALLENGE, CHALLENGE
from app.contract import (
    DEBUG_EXPIRED_HEADER,
    DEBUG_HEADER,
    DEBUG_INVALID_HEADER,
    DEBUG_TRACE_HEADER,
    DEBUG_WRONG_HEADER,
    REPLAYED_HEADER,
    TRACE_HEADER,
)
from app.limits import LIMIT_HEADERS
from app.openapi.examples import TRACE_ID

_LIMITS = {
    "limit": ("how many the product allows in the window", {"type": "integer"}, 60),
    "remaining": ("how many are left in it", {"type": "integer"}, 59),
    "reset": ("until it begins anew, such as `6m0s`; absent where it never does", {"type": "string"}, "1m0s"),
}


def _header(description: str, schema: dict[str, Any], example: object, *, required: bool = False) -> dict[str, Any]:
    return {"description": description, "schema": schema, "example": example, "required": required}


def _limit(name: str) -> dict[str, Any]:
    _, _, what, of = name.split("-")
    description, schema, example = _LIMITS[what]
    return _header(f"{of}: {description}. Only where the product has that limit.", schema, example)


HEADERS: dict[str, dict[str, Any]] = {
    TRACE_HEADER: _header(
        "The request's W3C trace id: that of a valid `traceparent`, else a new one.",
        {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        TRACE_ID,
        required=True,
    ),
    REPLAYED_HEADER: _header(
        "`true` where the answer was made for an earlier request with the same Idempotency-Key: it costs nothing.",
        {"type": "string", "enum": ["true"]},
        "true",
    ),
    DEBUG_TRACE_HEADER: _header(
        f"Where a valid {DEBUG_HEADER} came with the request: the id of its trace, for the operator to read.",
        {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "9c1d6a04b38f4e0f8a3c58a1b1f1f0aa",
    ),
    DEBUG_EXPIRED_HEADER: _header(
        "The debug token has expired, at this moment; the request was served without a trace.",
        {"type": "string", "format": "date-time"},
        "2026-11-25T04:00:00Z",
    ),
    DEBUG_WRONG_HEADER: _header(
        "The debug token is for another subscription; the request was served without a trace.",
        {"type": "string"},
        "The debug token is for another subscription. Ask the operator for one.",
    ),
    DEBUG_INVALID_HEADER: _header(
        "It is no debug token of this gateway; the request was served without a trace.",
        {"type": "string"},
        "This is no debug token of this gateway. Ask the operator for one.",
    ),
    "ETag": _header(
        "Which version of it this is. Compared as it is.", {"type": "string"}, '"1042032787219"', required=True
    ),
    "Retry-After": _header(
        "Whole seconds until it is worth trying again, where that is known.",
        {"type": "integer", "minimum": 1},
        12,
    ),
    "WWW-Authenticate": _header("Where the key goes.", {"type": "string"}, CHALLENGE, required=True),
    "WWW-Authenticate-Admin": _header("Where the token goes.", {"type": "string"}, ADMIN_CHALLENGE, required=True),
    "Allow": _header("The methods that there are.", {"type": "string"}, "OPTIONS, POST", required=True),
    "Cache-Control": _header("What a cache may do with it.", {"type": "string"}, "no-store"),
    **{name: _limit(name) for name in LIMIT_HEADERS},
}
"""By the name of the component; the name on the wire is what `on_the_wire` says."""

TRACEPARENT: dict[str, Any] = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C Trace Context. Its trace id becomes the request's; an invalid one is passed over.",
    "schema": {"type": "string"},
    "example": f"00-{TRACE_ID}-00f067aa0ba902b7-01",
}


def on_the_wire(name: str) -> str:
    """The name of a header in HTTP."""
    return name.removesuffix("-Admin")
