"""Subscription keys: how they are made, what they look like, and the hash that stands for them in the store.

A key is 128 random bits, so a fast keyed hash is enough: there is nothing to guess (docs/decisions/0003).
Knows neither the store nor who a key belongs to.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PEPPER_LENGTH = 32
"""Fewest bytes of a pepper."""

KEY_PATTERN = r"[0-9a-f]{32}"
"""What a key is, as a regular expression."""

_KEY = re.compile(KEY_PATTERN)


def new_key() -> str:
    """A fresh key: 32 lower-case hex digits, 128 bits from the system's cryptographic source."""
    return secrets.token_hex(16)


def is_well_formed(key: str) -> bool:
    """Whether `key` could be a key: exactly 32 lower-case hex digits.

    Upper case is refused rather than folded: one key then has one spelling, whichever way a client, a log
    filter or another store compares it.
    """
    return _KEY.fullmatch(key) is not None


class KeyHasher:
    """Turns keys into what the store holds: HMAC-SHA256 under a server's pepper.

    Two hosts that share a database must share the pepper. Without it the stored hashes are of no use to a
    thief, who could not even test a guess against them.

    Args:
        pepper: at least 32 secret bytes.

    Raises:
        ValueError: the pepper is too short.
    """

    __slots__ = ("_pepper",)

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) < PEPPER_LENGTH:
            raise ValueError(f"a pepper has at least {PEPPER_LENGTH} bytes")
        self._pepper = pepper

    def __repr__(self) -> str:
        return "KeyHasher(…)"

    def digest(self, key: str) -> bytes:
        """The 32 bytes that stand for a well-formed key."""
        return hmac.digest(self._pepper, key.encode("ascii"), "sha256")

    def cache_salt(self, sharers: str) -> str:
        """What keeps the prefix cache of some from all others: 32 hex digits that no caller can know."""
        return hmac.digest(self._pepper, f"prefix cache of {sharers}".encode(), "sha256")[:16].hex()

    def derived(self, purpose: str) -> bytes:
        """Another secret of 32 bytes, for one purpose; from it neither the pepper nor other secrets can be found."""
        return hmac.digest(self._pepper, f"secret for {purpose}".encode(), "sha256")


def load_pepper(path: Path) -> bytes:
    """The pepper in the file `path`, made at the first call; several processes may call at once.

    The file is text, so that its content can be moved into a setting as it is. White space around it does
    not count.

    Raises:
        ValueError: the file holds fewer than 32 bytes.
        OSError: it can be neither read nor made.
    """
    if not path.exists():
        _make_pepper(path)
    pepper = path.read_bytes().strip()
    if len(pepper) < PEPPER_LENGTH:
        raise ValueError(
            f"{path} should hold a pepper of at least {PEPPER_LENGTH} characters; restore it from a backup. "
            "A new pepper makes every key that exists invalid",
        )
    return pepper


def _make_pepper(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all and never replaces a file: of several processes the first wins,
        # and nobody reads a pepper that is half written.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
