"""One JSON object from bytes, stricter than `json.loads`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import strict_json
from gateway.errors import InvalidRequestError

EXAMPLE = '{"a": 1}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def parse_object(raw: bytes) -> dict[str, Any]:
    return strict_json.parse_object(raw, EXAMPLE)


@settings(deadline=None, database=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.booleans())
def test_every_json_object_is_read_as_json_reads_it(value: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001
    assert parse_object(json.dumps(value, ensure_ascii=escaped).encode()) == value


@settings(deadline=None, database=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused_and_nothing_else_happens(raw: bytes) -> None:
    try:
        found: object = parse_object(raw)
    except InvalidRequestError:
        found = {}
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'\xef\xbb\xbf{"a": 1}', "byte-order mark"),
        (b'{"a": "\xe9"}', "not valid UTF-8 at byte 7"),
        (b'{"a":\n 1,}', "line 2, column 4"),
        (b"[NaN]", "The body has NaN, which is not JSON. Send a finite number."),
        (b" -1e400", "The body has a number that is too large. Send a smaller one."),
        (b"9" * 5000, "The body has a number that is too long. Send at most 4300 digits."),
        (b"[1]", 'not an object. Send an object such as {"a": 1}.'),
        (b'{"a": 1, "a": 1}', "`a` is there twice"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "`b` is there twice"),
        (b'{"a": ' + b"[" * 100_000, "The body is nested too deeply. Send at most 64 levels."),
    ],
)
def test_what_a_caller_should_not_send_is_told(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_object(raw)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("NaN", "has NaN, which is not JSON. Send a finite number."),
        ("[0, -Infinity]", "has Infinity, which is not JSON. Send a finite number."),
        ("1e400", "has a number that is too large. Send a smaller one."),
        ('{"b": [-1e400', "has a number that is too large. Send a smaller one."),
        ("9" * 4301, "has a number that is too long. Send at most 4300 digits."),
        ('{"b": -' + "9" * 5000, "has a number that is too long. Send at most 4300 digits."),
        (r'"\udfff"', r"has half of a surrogate pair (\ud800 to \udfff), which is no character. Send both halves."),
        (
            r'[{"\ud800": 1}]',
            r"has half of a surrogate pair (\ud800 to \udfff), which is no character. Send both halves.",
        ),
        ("[" * 64 + "]" * 64, "is nested too deeply. Send at most 64 levels."),
    ],
)
@pytest.mark.parametrize(
    ("before", "name"),
    [
        ('{"', "a"),
        ('\n{ "x":[1, {"y": "}\\""}]\t,\r\n"', "a"),
        (r'{"é\ud83e\udd99": -1.5e3, "', r"\u0061"),
        ('{"x": "' + "[" * 100 + '", "y": null, "', "a"),
    ],
)
def test_what_is_wrong_with_a_value_is_told_with_the_field_that_has_it(
    before: str, name: str, value: str, words: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_object(f'{before}{name}" : {value}, "z": {{}}}}'.encode())
    assert (caught.value.message, caught.value.param) == (f"Field `a` {words}", "a")


def test_a_name_with_half_of_a_surrogate_pair_is_shown_without_it() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_object(rb'{"x": "\ud83e\udd99", "a\ud800": 1}')
    assert caught.value.message.startswith("Field `a?` has half of a surrogate pair")
    assert caught.value.param == "a?"


def test_the_first_value_that_is_refused_is_the_one_that_is_told() -> None:
    with pytest.raises(InvalidRequestError, match="Field `b` has NaN"):
        parse_object(b'{"a": ' + b"[" * 70 + b"]" * 70 + b', "b": NaN, "c": 1e400}')


@pytest.mark.parametrize("body", ['{"a": 1.5}', r'{"a": "\ud83e\udd99"}'])
def test_a_body_that_is_right_is_read_once(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(strict_json, "_unreadable_field")
    assert parse_object(body.encode())


def test_the_largest_numbers_and_the_deepest_nesting_are_taken() -> None:
    assert parse_object(b'{"a": 1.7976931348623157e308}') == {"a": 1.7976931348623157e308}
    assert parse_object(b'{"a": 1e-400}') == {"a": 0.0}
    assert math.copysign(1, parse_object(b'{"a": -0.0}')["a"]) == -1
    assert parse_object(b'{"a": ' + b"9" * 4000 + b"}") == {"a": int("9" * 4000)}
    parse_object(b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}")


def test_an_escaped_pair_is_one_character_and_an_escaped_backslash_no_escape() -> None:
    assert parse_object(rb'{"a": "\ud83e\udd99", "b": "\\ud800"}') == {"a": "🦙", "b": r"\ud800"}
