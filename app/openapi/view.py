"""`GET /openapi.json`: for everybody, and for caches."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from app.openapi.operation import describe
from app.openapi.operations import own

if TYPE_CHECKING:
    from collections.abc import Callable

_CACHE_SECONDS = 300


def make_blueprint(document: Callable[[], bytes]) -> Blueprint:
    """The route to the description.

    Args:
        document: the description as JSON, the same with every call.
    """
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json", endpoint="get description")
    @describe(own.DESCRIPTION)
    def get() -> Response:
        """This document."""
        content = document()
        response = Response(content, content_type="application/json")
        response.set_etag(sha256(content).hexdigest()[:32])
        response.cache_control.public = True
        response.cache_control.max_age = _CACHE_SECONDS
        response.make_conditional(request)
        return response

    return blueprint
