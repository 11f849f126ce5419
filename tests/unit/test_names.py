"""A caller's own names in errors: short, printable, and no key."""

from __future__ import annotations

import pytest

from gateway.names import quoted, shown

KEY = "0123456789abcdef0123456789abcdef"


def test_a_name_is_quoted_short_and_printable() -> None:
    assert quoted("top_k") == "`top_k`"
    assert quoted("a\x1b[2J\n\ud800\u202eé") == "`a?[2J???é`"
    assert len(quoted("x" * 10_000)) == 66


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        (KEY, "****"),
        (KEY.upper(), "****"),
        (KEY * 3, "****"),
        (f"key={KEY}.x", "key=****.x"),
        ("x" * 50 + KEY, "x" * 50 + "****"),
        (KEY[:31], KEY[:31]),
        (f"{KEY[:16]}-{KEY[16:]}", f"{KEY[:16]}-{KEY[16:]}"),
    ],
)
def test_a_name_that_holds_a_key_is_masked(name: str, masked: str) -> None:
    assert shown(name) == masked
