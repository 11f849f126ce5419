"""A request's body as one JSON object, or an error that says what is wrong with it. Stricter than `json.loads`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from flask import g, request
from werkzeug.exceptions import ClientDisconnected, UnsupportedMediaType

from app.contract import BodyError
from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

_UTF8 = {"utf-8", "utf8"}

_EXAMPLE = '{"prompt": "Tell me about llama2"}'

# Deeper than any JSON Schema in use. What is behind this recurses, in C as well, and must not run out of stack.
_MOST_NESTED = 64


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


def parse_object(raw: bytes, example: str = _EXAMPLE) -> dict[str, Any]:
    """One JSON object from bytes. Duplicate keys, NaN, Infinity, a byte-order mark and lone surrogates are refused.

    Raises:
        InvalidRequestError: what is wrong, and where, without the text itself.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidRequestError("The body starts with a byte-order mark. Send UTF-8 without one.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The body is not valid UTF-8 at byte {error.start}.") from None
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg.rstrip(': ')}.",
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # a number of thousands of digits
        raise InvalidRequestError("The body has a number that is too long.") from None
    if not isinstance(found, dict):
        raise InvalidRequestError(f"The body is JSON, but not an object. Send an object such as {example}.")
    _check_depth(found)
    _check_surrogates(text, found)
    return found


def _check_media_type() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in _UTF8:
        raise UnsupportedMediaType("Send the body as JSON in UTF-8, with the header Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequestError(f"Field {quoted(name)} is there twice. Send each field once.", param=name)
        found[name] = value
    return found


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidRequestError("The body has a number that is too large. Send a smaller one.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"The body has {name.lstrip('-')}, which is not JSON. Send a finite number.")


def _check_depth(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(_MOST_NESTED):
        insides = (inside for outer in level for inside in (outer.values() if isinstance(outer, dict) else outer))
        level = [inside for inside in insides if isinstance(inside, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(f"The body is nested too deeply. Send at most {_MOST_NESTED} levels.")


def _check_surrogates(text: str, found: dict[str, Any]) -> None:
    if "\\u" not in text:  # only an escape can make one: UTF-8 cannot hold it
        return
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "The body has half of a surrogate pair (\\ud800 to \\udfff), which is no character. Send both halves.",
        ) from None


def quoted(name: str) -> str:
    """A field's name as an error may show it: short, and printable."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:64])
    return f"`{shown}`"
