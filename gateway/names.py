"""What a caller calls a field or a parameter, as an error may show it."""

from __future__ import annotations

import re

_LONGEST = 64

# As long as a key, which has come to the wrong place.
_KEY = re.compile(r"[0-9a-fA-F]{32,}")


def shown(name: str) -> str:
    """A name that is short and printable, and holds no key."""
    # Before it is cut: half of a key is not to be seen either.
    masked = _KEY.sub("****", name)
    return "".join(character if character.isprintable() else "?" for character in masked[:_LONGEST])


def quoted(name: str) -> str:
    """The same between two backticks."""
    return f"`{shown(name)}`"
