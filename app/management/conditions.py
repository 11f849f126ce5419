"""ETags and the headers that make a change depend on them (RFC 9110, section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from gateway.revisions import Condition


def etag(revision: int) -> str:
    """The ETag of a resource of this revision, without its quotes."""
    return str(revision)


def wanted_condition(*, required: bool) -> Condition:
    """What the current request's `If-Match` and `If-None-Match` ask of the resource.

    Args:
        required: without an `If-Match` the request is refused, as Azure API Management does it.

    Raises:
        InvalidRequestError: `If-Match` is required, and missing.
    """
    matching = bool(request.headers.get("If-Match", "").strip())
    if required and not matching:
        raise InvalidRequestError(
            "The header If-Match is missing. Send the ETag of the last GET in it, or * to change whatever is there.",
            param="If-Match",
        )
    if_match, if_none_match = request.if_match, request.if_none_match

    def holds(revision: int | None) -> bool:
        if revision is None:
            return not matching
        tag = etag(revision)
        return (not matching or if_match.contains(tag)) and not if_none_match.contains_weak(tag)

    return holds
