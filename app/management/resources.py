"""What the two kinds of resources have in common: their envelope, their answers, and how a fault names its field."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from app.management.conditions import etag
from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENVELOPE = ("id", "type", "name")
# Where the product says it in other words than the body; the rest of its names are the body's.
_PROPERTIES = {"product": "scope"}
_HEADERS_AND_PARAMETERS = {"id", "If-Match", "deleteSubscriptions"}


def envelope(collection: str, name: str, properties: Mapping[str, object]) -> dict[str, object]:
    """A resource as Azure API Management shows it: `id`, `type`, `name`, `properties`."""
    kind = f"Microsoft.ApiManagement/service/{collection}"
    return {"id": f"/{collection}/{name}", "type": kind, "name": name, "properties": dict(properties)}


def check_envelope(body: Mapping[str, Any], collection: str, name: str) -> None:
    """Raises InvalidRequestError where a body's `id`, `type` or `name` is another than that of the path.

    So what a GET has answered can be changed and sent back as it is.
    """
    own = envelope(collection, name, {})
    for field in _ENVELOPE:
        if field in body and body[field] != own[field]:
            raise InvalidRequestError(f"Field `{field}` follows from the path. Leave it out.", param=field)


def read_only(name: str) -> InvalidRequestError:
    """The error for a property that only the gateway sets."""
    return InvalidRequestError("It is set by the gateway. Leave it out.", param=name)


def resource(document: Mapping[str, object], revision: int, status: int = HTTPStatus.OK) -> Response:
    """The answer with one resource and its ETag."""
    response = jsonify(document)
    response.status_code = status
    response.set_etag(etag(revision))
    return response


def no_content() -> Response:
    """The answer to a DELETE."""
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]  # Flask's is for pages, and there is no content
    return response


@contextmanager
def naming_properties() -> Iterator[None]:
    """Has a fault of the product's own finding name the property of the body that it is about."""
    try:
        yield
    except InvalidRequestError as error:
        if error.param is None or error.param in _HEADERS_AND_PARAMETERS:
            raise
        field = f"properties.{_PROPERTIES.get(error.param, error.param)}"
        raise InvalidRequestError(f"Field `{field}`: {error.message}", detail=error.detail, param=field) from None
