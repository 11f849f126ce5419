"""Messages that are no sensible question: repeated words, random keys, long pasted texts, other scripts."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

# Ranges of letters in other scripts: Chinese, kana, Hangul, Cyrillic, Greek, Arabic, Devanagari, emojis.
SCRIPTS = (
    (0x4E00, 0x9FA0),
    (0x3041, 0x3096),
    (0xAC00, 0xD7A0),
    (0x0410, 0x044F),
    (0x0391, 0x03C9),
    (0x0627, 0x064A),
    (0x0905, 0x0939),
    (0x1F600, 0x1F640),
)
LONGEST = 3500


def odd(rng: random.Random, words: Sequence[str], texts: Sequence[str]) -> str:
    """One odd message."""
    return _odd(rng, words, texts)[:LONGEST].strip() or "..."


def _odd(rng: random.Random, words: Sequence[str], texts: Sequence[str]) -> str:
    match rng.randrange(6):
        case 0:
            word = rng.choice((*words, "hello", "test", "word", "hi", "a", "the", "token", "x", "1", "llama"))
            return " ".join([word] * _length(rng))
        case 1:
            return " ".join(_keys(rng) for _ in range(rng.randint(1, 8)))
        case 2:
            return " ".join(rng.choice(words) for _ in range(_length(rng)))
        case 3:
            return " ".join(rng.choice(texts) for _ in range(rng.choice((2, 3, 5, 10))))
        case 4:
            first, last = rng.choice(SCRIPTS)
            return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 12)))
        case _:
            marks = string.punctuation + string.digits + " "
            return "".join(rng.choice(marks) for _ in range(rng.randint(1, 20)))


def _length(rng: random.Random) -> int:
    return rng.choice((rng.randint(2, 12), rng.randint(2, 60), rng.randint(60, 900)))


def _keys(rng: random.Random) -> str:
    letters = string.ascii_lowercase if rng.random() < 0.8 else string.ascii_letters + string.digits
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 10)))
