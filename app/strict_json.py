"""One JSON object from bytes, or an error that says what is wrong with it, and where. Stricter than `json.loads`.

A body is read once. Only where that fails, and the fault is of a value, it is read a second time: for the field.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gateway.errors import InvalidRequestError
from gateway.names import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

# Deeper than any JSON Schema in use. What is behind this recurses, in C as well, and must not run out of stack.
_MOST_NESTED = 64
_TOO_DEEP = f"is nested too deeply. Send at most {_MOST_NESTED} levels."

_SPACE = re.compile(r"[ \t\n\r]*")


class _FaultyValueError(Exception):
    """A value that JSON or a computer does not have; its text follows the name of what has it."""


def parse_object(raw: bytes, example: str) -> dict[str, Any]:
    """One JSON object from bytes. Duplicate keys, NaN, Infinity, a byte-order mark and lone surrogates are refused.

    Args:
        raw: UTF-8.
        example: a body that would do, for who sends something else.

    Raises:
        InvalidRequestError: what is wrong, and where, without the text itself.
    """
    text = _decoded(raw)
    found = _parsed(text)
    if not isinstance(found, dict):
        raise InvalidRequestError(f"The body is JSON, but not an object. Send an object such as {example}.")
    _check_depth(found)
    _check_surrogates(text, found)
    return found


def _decoded(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidRequestError("The body starts with a byte-order mark. Send UTF-8 without one.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid UTF-8 at byte {error.start}. Send it encoded in UTF-8."
        ) from None


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg.rstrip(': ')}.",
        ) from None
    except _FaultyValueError as fault:
        words = str(fault)
    except RecursionError:
        raise _fault_of(None, _TOO_DEEP) from None
    except ValueError:  # Python's own bound
        words = f"has a number that is too long. Send at most {sys.get_int_max_str_digits()} digits."
    raise _fault_of(_unreadable_field(text), words)


def _fault_of(field: str | None, words: str) -> InvalidRequestError:
    """An error about a field, or about the body where there is none."""
    if field is None:
        return InvalidRequestError(f"The body {words}")
    return InvalidRequestError(f"Field {quoted(field)} {words}", param=shown(field))


def _unreadable_field(text: str) -> str | None:
    """The outermost field whose value cannot be read; None where the fault is in no field.

    Args:
        text: valid JSON until a value that is refused.
    """
    field, at = None, _after_space(text, 0)
    try:
        while text[at] in "{,":
            field, at = _DECODER.raw_decode(text, _after_space(text, at + 1))
            colon = _after_space(text, at)
            _, at = _DECODER.raw_decode(text, _after_space(text, colon + 1))
            at = _after_space(text, at)
    except (_FaultyValueError, ValueError):
        return field
    return None  # it is no object


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequestError(f"Field {quoted(name)} is there twice. Send each field once.", param=shown(name))
        found[name] = value
    return found


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _FaultyValueError("has a number that is too large. Send a smaller one.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _FaultyValueError(f"has {name.lstrip('-')}, which is not JSON. Send a finite number.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_refuse_constant)


def _check_depth(found: dict[str, Any]) -> None:
    if _is_deeper(found, _MOST_NESTED):
        field = next(name for name, value in found.items() if _is_deeper(value, _MOST_NESTED - 1))
        raise _fault_of(field, _TOO_DEEP)


def _is_deeper(found: Any, most: int) -> bool:
    """Whether a value has more levels of objects and lists than that."""
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(most):
        if not level:
            return False
        insides = (inside for outer in level for inside in (outer.values() if isinstance(outer, dict) else outer))
        level = [inside for inside in insides if isinstance(inside, dict | list)]
    return bool(level)


def _check_surrogates(text: str, found: dict[str, Any]) -> None:
    if "\\u" not in text:  # only an escape can make one: UTF-8 cannot hold it
        return
    if _has_half(found):
        field = next(name for name, value in found.items() if _has_half({name: value}))
        raise _fault_of(
            field, "has half of a surrogate pair (\\ud800 to \\udfff), which is no character. Send both halves."
        )


def _has_half(found: dict[str, Any]) -> bool:
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
