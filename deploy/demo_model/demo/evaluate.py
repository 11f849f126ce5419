"""Measures a trained model on questions that it was not trained on."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import torch

from deploy.demo_model.demo import numbers, questions
from deploy.demo_model.demo.batches import prompt
from deploy.demo_model.demo.samples import MAIN, Sample, Sampler, join, to_json
from deploy.demo_model.demo.styles import restyle
from deploy.demo_model.demo.tokenizer import encode

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from deploy.demo_model.demo.corpus import Corpus

ALIKE = 0.85
ROWS = 48
# What the whole training has to reach: a guard against a plan or a corpus that makes the model worse. A little below
# the figures of the model that is shipped (its README), since other processors and threads round differently.
GOALS = {
    "paraphrases": 0.60,  # shipped: 0.63; what a new user types first is answered with the right text
    "modest": 0.90,  # shipped: 0.93; a wrong answer where it should say that it does not know misleads most
    "styles": 0.55,  # shipped: 0.61; a system prompt has to change the answer visibly
}
# The other kinds have no goal: the shipped model gets so few of them right (JSON, counting, sums), or so nearly the
# half where there are two answers (yes or no), that a good training could miss such a goal and a bad one reach it.


@dataclass(frozen=True)
class Score:
    """How many answers of a kind were right, and the questions that were not answered well."""

    kind: str
    right: int
    total: int
    wrong: tuple[tuple[Sample, str], ...]

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.total if self.total else 0.0


def held_out(corpus: Corpus, seed: int = 7) -> dict[str, list[Sample]]:
    """Evaluation samples by kind; none of their questions or system prompts is in the training."""
    rng = random.Random(seed)
    sampler = Sampler(corpus, seed)
    return {
        "paraphrases": _paraphrases(corpus, rng),
        "modest": _unknown(corpus, sampler, rng),
        "styles": _styles(corpus, rng),
        "sums": _seen(sampler, "sum", 40),
        "yes or no": _seen(sampler, "yes-no", 40),
        "JSON": _json(corpus, rng),
        "counting": _counting(),
    }


def score(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    kind: str,
    samples: list[Sample],
    also: tuple[str, ...] = (),
) -> Score:
    """Let the model answer the samples and compare; the answers in `also` are right as well."""
    limit = 1300 if kind == "counting" else 200
    texts = generate(model, tokenizer, [prompt(tokenizer, sample) for sample in samples], limit)
    wrong = tuple(
        (sample, text)
        for sample, text in zip(samples, texts, strict=True)
        if not any(is_right(kind, answer, text) for answer in (sample.answer, *also))
    )
    return Score(kind, len(samples) - len(wrong), len(samples), wrong)


def is_right(kind: str, wanted: str, text: str) -> bool:
    """Whether an answer is the wanted one, or for texts nearly so."""
    if kind in ("counting", "sums", "JSON", "yes or no"):
        return text == wanted
    return SequenceMatcher(None, wanted[:600], text[:600], autojunk=False).ratio() >= ALIKE


def generate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    limit: int,
    *,
    temperature: float = 0,
) -> list[str]:
    """Generate answers, greedily unless a temperature is given."""
    sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.9} if temperature else {"do_sample": False}
    found: list[str] = []
    for first in range(0, len(prompts), ROWS):
        rows = encode(tokenizer, prompts[first : first + ROWS])
        width = max(map(len, rows))
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **sampling,
        )
        found += [tokenizer.decode(row[width:], skip_special_tokens=True) for row in output]
    return found


def _paraphrases(corpus: Corpus, rng: random.Random) -> list[Sample]:
    found = []
    for topic in corpus.topics:
        asked = list(topic.held_out)
        if topic.about:
            asked.append(rng.choice(questions.ABOUT_HELD_OUT).format(s=rng.choice(topic.about)))
        if topic.weight < 0.5:
            asked = [text for text in asked if rng.random() < 0.3]
        found += [Sample(topic.id, topic.answer, questions.plain(text)) for text in asked]
    return found


def _unknown(corpus: Corpus, sampler: Sampler, rng: random.Random) -> list[Sample]:
    kinds = rng.choices(("what", "how", "who", "write"), k=160)
    return [
        Sample(
            "unknown",
            corpus.unknown.answers[kind],
            questions.plain(sampler.modest(kind, corpus.unknown.held_out)),
        )
        for kind in kinds
    ]


def _styles(corpus: Corpus, rng: random.Random) -> list[Sample]:
    found = []
    for style, systems in corpus.systems.items():
        if style == "yesno":
            items = rng.sample(corpus.yes_no, 6)
            pairs = [(item.question, "Yes." if item.yes else "No.") for item in items]
        else:
            topics = [t for t in corpus.topics if t.restyle and t.ask and t.weight >= MAIN]
            if style in ("french", "german"):
                topics = [t for t in topics if t.translated]
            if style == "expert":
                topics = [t for t in topics if t.group == "llama"]
            chosen = rng.sample(topics, 6)
            pairs = [(rng.choice(t.ask), restyle(t, style, corpus.unknown.answers)) for t in chosen]
        for question, answer in pairs:
            found.append(Sample(style, answer, questions.plain(question), rng.choice(systems.held_out)))
    return found


def _seen(sampler: Sampler, kind: str, count: int) -> list[Sample]:
    drawn = [sampler.draw(kind) for _ in range(count)]
    return [replace(sample, earlier=()) for sample in drawn]


def _json(corpus: Corpus, rng: random.Random) -> list[Sample]:
    found = []
    for entity in corpus.entities.items:
        wanted = rng.sample(list(entity.fields), min(2, len(entity.fields)))
        question = rng.choice(corpus.entities.held_out).format(thing=entity.thing, fields=join(wanted))
        found.append(Sample("json", to_json(entity, wanted), questions.plain(question)))
    return found


def _counting() -> list[Sample]:
    ranges = [
        (1, 10),
        (1, 25),
        (1, 50),
        (1, 100),
        (1, 137),
        (1, 200),
        (1, 242),
        (1, 300),
        (5, 20),
        (95, 105),
        (188, 203),
    ]
    return [Sample("count", numbers.numbers(a, b), f"Count from {a} to {b}") for a, b in ranges]
