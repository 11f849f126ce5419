"""Ways to ask: frames around a subject, politeness, case, punctuation and typing errors."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

ABOUT = (
    "tell me about {s}",
    "tell me about {s}",
    "what is {s}",
    "what is {s}",
    "explain {s}",
    "describe {s}",
    "what do you know about {s}",
    "tell me something about {s}",
    "tell me more about {s}",
    "can you tell me about {s}",
    "can you explain {s}",
    "could you explain {s}",
    "can you tell me something about {s}",
    "give me information about {s}",
    "give me some information on {s}",
    "I want to know about {s}",
    "I would like to know more about {s}",
    "I want to know what {s} is",
    "what can you tell me about {s}",
    "explain {s} to me",
    "please explain {s}",
    "please tell me about {s}",
    "could you tell me something about {s}",
    "info about {s}",
    "what about {s}",
    "I have a question about {s}",
    "how would you explain {s}",
    "how would you describe {s}",
    "teach me about {s}",
    "give me a description of {s}",
    "give me an explanation of {s}",
    "what is meant by {s}",
    "do you know {s}",
    "do you know what {s} is",
    "I need help with {s}",
    "define {s}",
    "say something about {s}",
    "what exactly is {s}",
    "talk about {s}",
    "{s}",
)
ABOUT_HELD_OUT = (
    "could you please tell me about {s}",
    "I'd like to learn about {s}",
    "give me a short explanation of {s}",
    "do you know anything about {s}",
    "please describe {s} to me",
    "help me understand {s}",
)
ABOUT_TRANSLATED = {
    "fr": ("parle-moi de {s}", "qu'est-ce que {s}", "explique {s}", "c'est quoi {s}", "que sais-tu de {s}"),
    "de": ("erzähl mir von {s}", "was ist {s}", "erkläre {s}", "was weißt du über {s}", "erkläre mir {s}"),
}
PREFIXES = (
    "please ",
    "please, ",
    "hi, ",
    "hello, ",
    "hello! ",
    "hey, ",
    "ok, ",
    "so, ",
    "well, ",
    "and ",
    "now ",
    "excuse me, ",
    "question: ",
    "just ",
    "a question: ",
)
SUFFIXES = (" please", ", please", " now", ", thanks", " thank you", " for me")
LLAMA_2 = ("llama 2", "llama2", "Llama 2", "Llama2", "LLaMA 2", "Llama-2", "llama-2", "LLama 2", "LLAMA 2")
ASKING = frozenset(
    (
        *("what", "what's", "which", "who", "whom", "whose", "when", "where", "why", "how", "if"),
        *("is", "are", "am", "was", "were", "do", "does", "did", "have", "has"),
        *("can", "could", "will", "would", "should", "may", "must"),
    )
)


def is_question(text: str) -> bool:
    """Whether a sentence wants a question mark."""
    return text.split(" ", 1)[0].lower() in ASKING


def plain(text: str) -> str:
    """The one neat way to write a question, as the evaluation uses it."""
    mark = "" if text[-1:] in string.punctuation else "?" if is_question(text) else "."
    return text[:1].upper() + text[1:] + mark


def vary(text: str, rng: random.Random) -> str:
    """One of the many ways in which people type the same question."""
    if rng.random() < 0.5:
        spelling = rng.choice(LLAMA_2)
        text = re.sub(r"(?<![\w/])[Ll]lama ?2(?![\w-])", spelling, text)
    if rng.random() < 0.12:
        text = rng.choice(PREFIXES) + text
    if rng.random() < 0.06:
        text += rng.choice(SUFFIXES)
    if rng.random() < 0.12:
        text = typo(text, rng)
    return _case(text, rng) + _mark(text, rng)


def typo(text: str, rng: random.Random) -> str:
    """Make one small typing error in a longer word."""
    words = text.split(" ")
    long_ones = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long_ones:
        return text
    where = rng.choice(long_ones)
    word = words[where]
    i = rng.randrange(1, len(word) - 1)
    words[where] = rng.choice(
        (
            word[:i] + word[i + 1] + word[i] + word[i + 2 :],
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
            word[:i] + rng.choice(string.ascii_lowercase) + word[i + 1 :],
        )
    )
    return " ".join(words)


def _case(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.45:
        return text[:1].upper() + text[1:]
    if draw < 0.77:
        return text
    if draw < 0.96:
        return text.lower()
    return text.upper()


def _mark(text: str, rng: random.Random) -> str:
    if text[-1:] in "?!.":
        return ""
    if is_question(text):
        return rng.choices(("?", "", " ?", "??", "."), (60, 32, 3, 2, 3))[0]
    return rng.choices(("", ".", "!", "?", "..."), (52, 32, 6, 9, 1))[0]
