"""What each style does to an answer. A system prompt (corpus/systems.yaml) selects the style."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.demo_model.demo.corpus import Topic

EMOJI = {"llama": "🦙", "gateway": "🔑", "http": "🌍", "talk": "😀", "facts": "⭐"}
PIRATE_WORDS = {
    "am": "be",
    "are": "be",
    "is": "be",
    "you": "ye",
    "You": "Ye",
    "your": "yer",
    "my": "me",
    "of": "o'",
    "and": "an'",
}


def sentences(text: str) -> list[str]:
    """Split an answer into sentences; a line of its own counts as one."""
    return [part for part in re.split(r"(?<=[.!?])\s+(?=[^\s\d])|\n+", text.strip()) if part]


def opening(text: str, count: int) -> str:
    """The first `count` sentences."""
    return " ".join(sentences(text)[:count])


def pirate(text: str) -> str:
    """The first two sentences in the words of a pirate."""
    spoken = re.sub(r"[A-Za-z]+", lambda m: PIRATE_WORDS.get(m[0], m[0]), opening(text, 2))
    return f"Arr, matey! {spoken} Yo ho ho!"


def teacher(text: str) -> str:
    """A polite frame around the whole answer."""
    return f"Thank you for this good question. {text} Please ask me if anything is not clear."


def upper(text: str) -> str:
    """The first two sentences in upper case."""
    return opening(text, 2).upper()


def bullets(text: str) -> str:
    """One list entry for each sentence."""
    return "\n".join(f"- {sentence}" for sentence in sentences(text))


def as_json(text: str) -> str:
    """The first sentence in a JSON object."""
    return json.dumps({"answer": opening(text, 1)}, ensure_ascii=False)


SIMPLE: dict[str, Callable[[str], str]] = {
    "brief": lambda text: opening(text, 1),
    "pirate": pirate,
    "teacher": teacher,
    "upper": upper,
    "list": bullets,
    "json": as_json,
}
LANGUAGES = {"french": "fr", "german": "de"}


def restyle(topic: Topic, style: str, modest: dict[str, str]) -> str:
    """The answer of a topic in a style; `modest` holds what is said when there is no answer."""
    if not topic.restyle or style == "neutral":
        return topic.answer
    if style in LANGUAGES:
        language = LANGUAGES[style]
        return topic.translated.get(language, modest[language])
    if style == "yesno":
        return modest["yesno"]
    if style in ("expert", "emoji"):
        return _expert(topic) if style == "expert" else _with_emoji(topic)
    return SIMPLE[style](topic.answer)


def _expert(topic: Topic) -> str:
    if topic.expert:
        return topic.expert
    return f"Speaking as a Llama 2 expert: {topic.answer}" if topic.group == "llama" else topic.answer


def _with_emoji(topic: Topic) -> str:
    emoji = EMOJI.get(topic.group, "😀")
    return f"{emoji} {opening(topic.answer, 1)} {emoji}"
