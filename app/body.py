"""A request's body as one JSON object, or an error that says why it is not to be had."""

from __future__ import annotations

from typing import Any

from flask import g, request
from werkzeug.exceptions import ClientDisconnected, UnsupportedMediaType

from app.contract import BodyError
from app.strict_json import parse_object
from gateway.errors import InvalidRequestError

_UTF8 = {"utf-8", "utf8"}

_EXAMPLE = '{"prompt": "Tell me about llama2"}'


def json_object(example: str = _EXAMPLE) -> dict[str, Any]:
    """The JSON object in the current request's body.

    Args:
        example: a body that would do, for who sends something else.

    Raises:
        InvalidRequestError: no body, a truncated one, or one that is not a JSON object as RFC 8259 has it.
        UnsupportedMediaType: the body is not declared as `application/json` in UTF-8.
        BodyError: the body is larger than the operator allows, came too slowly, or could not be read.
    """
    raw = g.pop("raw_body", None)
    if raw is None:
        raw = _read()
    if not raw:
        raise InvalidRequestError(f"The body is empty. Send a JSON object such as {example}.")
    _check_media_type()
    return parse_object(raw, example)


def raw_body() -> bytes:
    """The bytes of the current request's body; `json_object` may be asked afterwards.

    Raises:
        InvalidRequestError: a truncated body.
        BodyError: as `json_object`.
    """
    if "raw_body" not in g:
        g.raw_body = _read()
    found: bytes = g.raw_body
    return found


def _read() -> bytes:
    most = request.max_content_length
    if most is not None and (request.content_length or 0) > most:
        raise _too_large(most)
    if most is not None:  # Werkzeug cuts a chunked body at its limit in silence: let it read one byte more
        request.max_content_length = most + 1
    try:
        raw = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidRequestError("The body is shorter than its Content-Length. Send the whole body.") from None
    if most is not None and len(raw) > most:
        raise _too_large(most)
    return raw


def _too_large(most: int) -> BodyError:
    return BodyError(413, f"The body is too large. Send at most {most} bytes.", "BodyTooLarge")


def _check_media_type() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in _UTF8:
        raise UnsupportedMediaType("Send the body as JSON in UTF-8, with the header Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
