"""One JSON object from bytes, stricter than `json.loads`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.body import parse_object, quoted
from gateway.errors import InvalidRequestError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


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
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [-Infinity]}', "Infinity"),
        (b'{"a": 1e400}', "too large"),
        (b'{"a": -1e400}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
        (b"[1]", "not an object"),
        (b'{"a": 1, "a": 1}', "`a` is there twice"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "`b` is there twice"),
        (rb'{"a": "\udfff"}', "surrogate"),
        (rb'{"\ud800": 1}', "surrogate"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "nested too deeply"),
    ],
)
def test_what_a_caller_should_not_send_is_told(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_object(raw)
    assert words in caught.value.message


def test_the_largest_numbers_and_the_deepest_nesting_are_taken() -> None:
    assert parse_object(b'{"a": 1.7976931348623157e308}') == {"a": 1.7976931348623157e308}
    assert parse_object(b'{"a": 1e-400}') == {"a": 0.0}
    assert math.copysign(1, parse_object(b'{"a": -0.0}')["a"]) == -1
    assert parse_object(b'{"a": ' + b"9" * 4000 + b"}") == {"a": int("9" * 4000)}
    parse_object(b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}")


def test_an_escaped_pair_is_one_character_and_an_escaped_backslash_no_escape() -> None:
    assert parse_object(rb'{"a": "\ud83e\udd99", "b": "\\ud800"}') == {"a": "🦙", "b": r"\ud800"}


def test_a_name_is_quoted_short_and_printable() -> None:
    assert quoted("top_k") == "`top_k`"
    assert quoted("a\x1b[2J\n\ud800\u202eé") == "`a?[2J???é`"
    assert len(quoted("x" * 10_000)) == 66
