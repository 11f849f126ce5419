"""How keys are made and hashed, and the file of the pepper."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys import KeyHasher, is_well_formed, load_pepper, new_key
from tests.store.processes import at_once

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0123456789abcdef0123456789abcdef"


def test_a_new_key_is_32_hex_digits_and_never_the_same() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY[1:],
        KEY + "0",
        KEY.upper(),
        KEY + "\n",
        " " + KEY[1:],
        "g" * 32,
        "\uff10" * 32,
        "é" * 32,
        "a" * 10_000,
    ],
)
def test_what_is_not_exactly_32_lower_case_hex_digits_is_malformed(text: str) -> None:
    assert not is_well_formed(text)


@given(st.binary(min_size=16, max_size=16))
def test_any_16_bytes_in_lower_case_hex_are_well_formed(key: bytes) -> None:
    assert is_well_formed(key.hex())


def test_a_digest_depends_on_the_key_and_on_the_pepper() -> None:
    digests = {KeyHasher(pepper * 32).digest(key) for pepper in (b"a", b"b") for key in (KEY, KEY[::-1])}
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}
    assert KeyHasher(b"a" * 32).digest(KEY) in digests


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        KeyHasher(b"x" * 31)


def test_the_hasher_does_not_show_its_pepper() -> None:
    assert "secret" not in repr(KeyHasher(b"secret" * 6))


def test_the_pepper_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "var" / "pepper"
    pepper = load_pepper(path)
    assert len(pepper) >= 32
    assert load_pepper(path) == pepper
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["pepper"]


def test_processes_that_start_at_once_agree_on_one_pepper(tmp_path: Path) -> None:
    assert len(set(at_once(4, load_pepper, tmp_path / "pepper"))) == 1


def test_an_existing_pepper_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("p" * 40 + "\n")
    assert load_pepper(tmp_path / "pepper") == b"p" * 40


def test_a_damaged_pepper_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("short\n")
    with pytest.raises(ValueError, match="restore it from a backup"):
        load_pepper(tmp_path / "pepper")
    assert (tmp_path / "pepper").read_text() == "short\n"
