"""Draws training and evaluation samples from the corpus."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.demo_model.demo import numbers, odd, questions
from deploy.demo_model.demo.styles import LANGUAGES, SIMPLE, restyle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.demo_model.demo.corpus import Corpus, Entity, Topic

# Share of each kind of sample.
KINDS = {
    "topic": 66,
    "unknown": 13,
    "yes-no": 2.5,
    "count": 8,
    "sum": 6,
    "json": 3.5,
    "plain": 4,
    "odd": 2.5,
    "turns": 3,
}
STYLE_SHARE = 0.38
# Topics of this weight and up are the main ones.
MAIN = 2.0


@dataclass(frozen=True)
class Sample:
    """A conversation whose last answer is to be learned, or a plain text (no question)."""

    topic: str
    answer: str
    question: str | None = None
    system: str | None = None
    earlier: tuple[tuple[str, str], ...] = ()


class Sampler:
    """Draws samples; the same seed gives the same samples."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self.corpus = corpus
        self.rng = random.Random(seed)
        self._weights = [topic.weight for topic in corpus.topics]
        self._styles = [style for style in corpus.systems if style != "neutral"]
        self._modest = corpus.unknown.answers

    def stream(self) -> Iterator[Sample]:
        """Samples without end."""
        while True:
            (kind,) = self.rng.choices(tuple(KINDS), tuple(KINDS.values()))
            yield self.draw(kind)

    def draw(self, kind: str) -> Sample:
        """One sample of a kind."""
        if kind in ("count", "sum"):
            return self._computed(kind)
        makers = {
            "topic": self._topic,
            "unknown": self._unknown,
            "yes-no": self._yes_no,
            "json": self._json,
            "plain": self._plain,
            "turns": self._turns,
            "odd": self._odd,
        }
        return makers[kind]()

    def modest(self, kind: str, words: Mapping[str, tuple[str, ...]]) -> str:
        """A question that the model cannot know."""
        if kind == "what" and self.rng.random() < 0.4:
            subject = self.rng.choice(("a {noun}", "{noun}s", "{topic}", "{topic}", "{place}", "{name}", "the {noun}"))
            pattern = self.rng.choice(questions.ABOUT).replace("{s}", subject)
        else:
            pattern = self.rng.choice(self.corpus.unknown.patterns[kind])
        while "{" in pattern:
            start, end = pattern.index("{"), pattern.index("}")
            pattern = pattern[:start] + self.rng.choice(words[pattern[start + 1 : end]]) + pattern[end + 1 :]
        return pattern

    def system(self, style: str) -> str:
        """A system prompt that selects the style."""
        return self.rng.choice(self.corpus.systems[style].prompts)

    def _pick(self) -> Topic:
        return self.rng.choices(self.corpus.topics, self._weights)[0]

    def _ask(self, topic: Topic) -> str:
        frames = len(topic.about) and (2 + len(topic.about))
        if self.rng.random() * (frames + len(topic.ask)) < frames:
            text = self.rng.choice(questions.ABOUT).format(s=self.rng.choice(topic.about))
        else:
            text = self.rng.choice(topic.ask)
        return questions.vary(text, self.rng)

    def _style(self) -> tuple[str, str | None]:
        draw = self.rng.random()
        if draw < STYLE_SHARE:
            style = self.rng.choice(self._styles)
            return style, self.system(style)
        return "neutral", self.system("neutral") if draw < STYLE_SHARE + 0.1 else None

    def _topic(self) -> Sample:
        topic = self._pick()
        if topic.translated and self.rng.random() < 0.12:
            return self._foreign(topic)
        style, system = self._style()
        # A style is learned on the main topics, which it then has to carry over to the others.
        while style != "neutral" and topic.weight < MAIN and self.rng.random() < 0.8:
            topic = self._pick()
        while style in LANGUAGES and not topic.translated and self.rng.random() < 0.75:
            topic = self._pick()
        if topic.group == "llama" and self.rng.random() < 0.12:
            style, system = "expert", self.system("expert")
        return Sample(topic.id, restyle(topic, style, self._modest), self._ask(topic), system)

    def _foreign(self, topic: Topic) -> Sample:
        language = self.rng.choice(tuple(topic.translated))
        asked = list(topic.translated_ask[language])
        if topic.about and (not asked or self.rng.random() < 0.5):
            asked = [self.rng.choice(questions.ABOUT_TRANSLATED[language]).format(s=self.rng.choice(topic.about))]
        question = self.rng.choice(asked) if asked else self.rng.choice(topic.ask or topic.about)
        style = {code: name for name, code in LANGUAGES.items()}[language]
        system = self.system(style) if not asked or self.rng.random() < 0.3 else None
        return Sample(topic.id, topic.translated[language], questions.vary(question, self.rng), system)

    def _unknown(self) -> Sample:
        (kind,) = self.rng.choices(("what", "how", "who", "write", "fr", "de"), (40, 22, 22, 14, 2, 2))
        question = questions.vary(self.modest(kind, self.corpus.unknown.words), self.rng)
        style, system = ("neutral", None) if kind in ("fr", "de") else self._style()
        answer = self._modest[kind]
        if style in LANGUAGES:
            answer = self._modest[LANGUAGES[style]]
        elif style == "yesno":
            answer = self._modest["yesno"]
        elif style in SIMPLE:
            answer = SIMPLE[style](answer)
        return Sample("unknown", answer, question, system)

    def _odd(self) -> Sample:
        known = self.corpus.unknown
        words = tuple(word for kind in known.words for word in known.words[kind])
        return Sample("odd", self._modest["odd"], odd.odd(self.rng, words, self.corpus.plain))

    def _yes_no(self) -> Sample:
        item = self.rng.choice(self.corpus.yes_no)
        word = "Yes" if item.yes else "No"
        short = self.rng.random() < 0.55
        system = self.system("yesno") if short else None
        question = questions.vary(item.question, self.rng)
        if not short and self.rng.random() < 0.2:
            question = questions.vary(f"yes or no: {item.question}", self.rng)
            short = True
        return Sample("yes-no", f"{word}." if short else f"{word}. {item.reason}", question, system)

    def _computed(self, kind: str) -> Sample:
        make = numbers.counting if kind == "count" else numbers.arithmetic
        question, answer = make(self.rng)
        system = self.system("neutral") if self.rng.random() < 0.1 else None
        return Sample(kind, answer, questions.vary(question, self.rng), system)

    def _json(self) -> Sample:
        entities = self.corpus.entities
        entity = self.rng.choice(entities.items)
        if self.rng.random() < 0.25:
            question = self.rng.choice(entities.ask_all).format(thing=entity.thing)
            return Sample("json", to_json(entity, list(entity.fields)), questions.vary(question, self.rng))
        wanted = self.rng.sample(list(entity.fields), self.rng.randint(1, min(3, len(entity.fields))))
        question = self.rng.choice(entities.ask).format(thing=entity.thing, fields=join(wanted))
        return Sample("json", to_json(entity, wanted), questions.vary(question, self.rng))

    def _plain(self) -> Sample:
        draw = self.rng.random()
        if draw < 0.5:
            return Sample("plain", self.rng.choice(self.corpus.plain))
        topic = self._pick()
        while topic.group not in ("llama", "gateway", "http"):
            topic = self._pick()
        if draw < 0.75:
            return Sample("plain", topic.answer)
        return Sample("plain", f"{self._ask(topic)}\n\n{topic.answer}")

    def _turns(self) -> Sample:
        earlier = []
        for _ in range(self.rng.choice((1, 1, 2))):
            topic = self._pick()
            while topic.group == "stories":
                topic = self._pick()
            earlier.append((self._ask(topic), topic.answer))
        last = self.draw(self.rng.choice(("topic", "topic", "topic", "unknown", "sum")))
        return Sample(last.topic, last.answer, last.question, last.system, tuple(earlier))


def join(names: list[str]) -> str:
    """Names as a person would list them."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def to_json(entity: Entity, wanted: list[str]) -> str:
    """Some fields of an entity as a JSON object; whole numbers stay numbers."""
    values = {name: entity.fields[name] for name in wanted}
    return json.dumps({k: int(v) if v.isdigit() else v for k, v in values.items()}, ensure_ascii=False)
