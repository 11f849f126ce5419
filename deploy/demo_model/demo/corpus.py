"""Reads the corpus folder into typed objects. The format is described in corpus/README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

FOLDER = Path(__file__).resolve().parent.parent / "corpus"
TOPIC_FILES = ("llama", "gateway", "http", "talk", "facts", "stories")


class CorpusError(Exception):
    """The corpus has a fault that its author can repair."""


@dataclass(frozen=True)
class Topic:
    """One answer and the many ways to ask for it."""

    id: str
    group: str
    answer: str
    about: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    translated: dict[str, str] = field(default_factory=dict)
    translated_ask: dict[str, tuple[str, ...]] = field(default_factory=dict)
    expert: str | None = None
    restyle: bool = True
    weight: float = 1.0


@dataclass(frozen=True)
class YesNo:
    """A question, whether the answer is yes, and the reason."""

    question: str
    yes: bool
    reason: str


@dataclass(frozen=True)
class SystemPrompts:
    """The system prompts that select one style."""

    prompts: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Unknown:
    """What the model cannot know: question patterns, words to fill in, modest answers."""

    answers: dict[str, str]
    patterns: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]
    held_out: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Entity:
    """Something that can be described as a JSON object."""

    thing: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Entities:
    """All entities, and the ways to ask for them."""

    items: tuple[Entity, ...]
    ask: tuple[str, ...]
    ask_all: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """Everything that the model learns from."""

    topics: tuple[Topic, ...]
    yes_no: tuple[YesNo, ...]
    systems: dict[str, SystemPrompts]
    unknown: Unknown
    entities: Entities
    plain: tuple[str, ...]


def lines(block: str | None) -> tuple[str, ...]:
    """The non-empty lines of a block."""
    return tuple(line.strip() for line in (block or "").splitlines() if line.strip())


def load(folder: Path = FOLDER) -> Corpus:
    """Read the whole corpus; a fault raises CorpusError naming the file."""
    topics = tuple(t for name in TOPIC_FILES for t in _topics(folder / f"{name}.yaml"))
    seen: set[str] = set()
    for topic in topics:
        if topic.id in seen:
            raise CorpusError(f"two topics have the id {topic.id!r}")
        seen.add(topic.id)
    return Corpus(
        topics=topics,
        yes_no=_yes_no(folder / "yesno.yaml"),
        systems={
            style: SystemPrompts(lines(block["prompts"]), lines(block.get("held_out")))
            for style, block in _yaml(folder / "systems.yaml").items()
        },
        unknown=_unknown(folder / "unknown.yaml"),
        entities=_entities(folder / "entities.yaml"),
        plain=_paragraphs(folder / "plain.txt"),
    )


def all_texts(corpus: Corpus) -> list[str]:
    """Every answer and paragraph, for looking at or counting the corpus."""
    answers = [t.answer for t in corpus.topics] + [t.expert or "" for t in corpus.topics]
    translations = [text for t in corpus.topics for text in t.translated.values()]
    return answers + translations + list(corpus.plain)


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CorpusError(f"cannot read {path.name}: {error}") from error


def _topics(path: Path) -> list[Topic]:
    topics: list[Topic] = []
    for number, entry in enumerate(_yaml(path), start=1):
        name = entry.get("id", f"{path.stem}-{number}")
        if "answer" not in entry or not (entry.get("ask") or entry.get("about")):
            raise CorpusError(f"{path.name}: topic {name!r} needs `answer`, and `ask` or `about`")
        if "pairs" not in entry:
            topics.append(_topic(path.stem, name, entry, {}))
            continue
        pairs = [_split(line, "=", 2, path) for line in lines(entry["pairs"])]
        for key, value in pairs:
            share = float(entry.get("weight", 1.0)) * 0.3
            words = {"name": key, "value": value}
            topics.append(_topic(path.stem, f"{name}-{key}", {**entry, "weight": share}, words))
    return topics


def _topic(group: str, name: str, entry: dict[str, Any], words: dict[str, str]) -> Topic:
    def fill(text: str) -> str:
        text = text.strip()
        return text.format_map(words) if words else text

    def fill_lines(key: str) -> tuple[str, ...]:
        return tuple(fill(line) for line in lines(entry.get(key)))

    return Topic(
        id=name,
        group=group,
        answer=fill(entry["answer"]),
        about=fill_lines("about"),
        ask=fill_lines("ask"),
        held_out=fill_lines("held_out"),
        translated={lang: entry[lang].strip() for lang in ("fr", "de") if lang in entry},
        translated_ask={lang: fill_lines(f"ask_{lang}") for lang in ("fr", "de")},
        expert=entry["expert"].strip() if "expert" in entry else None,
        restyle=bool(entry.get("restyle", group != "stories")),
        weight=float(entry.get("weight", 1.0)),
    )


def _split(line: str, mark: str, parts: int, path: Path) -> list[str]:
    found = [part.strip() for part in line.split(f" {mark} ")]
    if len(found) != parts:
        raise CorpusError(f"{path.name}: expected {parts} parts around `{mark}` in {line!r}")
    return found


def _yes_no(path: Path) -> tuple[YesNo, ...]:
    found = []
    for entry in _yaml(path):
        for line in lines(entry["questions"]):
            question, verdict, reason = _split(line, "=", 3, path)
            if verdict not in ("yes", "no"):
                raise CorpusError(f"{path.name}: neither yes nor no in {line!r}")
            found.append(YesNo(question, verdict == "yes", reason))
    return tuple(found)


def _unknown(path: Path) -> Unknown:
    data = _yaml(path)
    return Unknown(
        answers={kind: text.strip() for kind, text in data["answers"].items()},
        patterns={kind: lines(block) for kind, block in data["patterns"].items()},
        words={kind: tuple(text.split()) for kind, text in data["words"].items()},
        held_out={kind: tuple(text.split()) for kind, text in data["held_out"].items()},
    )


def _entities(path: Path) -> Entities:
    (data,) = _yaml(path)
    items = []
    for line in lines(data["entities"]):
        thing, rest = _split(line, "=", 2, path)
        pairs = [part.split(":", 1) for part in rest.split(";")]
        items.append(Entity(thing, {key.strip(): value.strip() for key, value in pairs}))
    ask, ask_all, held_out = (lines(data[key]) for key in ("ask", "ask_all", "held_out"))
    return Entities(tuple(items), ask, ask_all, held_out)


def _paragraphs(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CorpusError(f"cannot read {path.name}: {error}") from error
    return tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
