"""Turns samples into batches of token ids.

Samples of like length share a batch, so that little is padding, and no sample sees another one: the positions
and the attention are the same in training as in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deploy.demo_model.demo.tokenizer import CONTEXT, encode

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast

    from deploy.demo_model.demo.samples import Sample

POOL = 400


@dataclass(frozen=True)
class Example:
    """Token ids, from which of them on the model is to learn, and how much the end counts."""

    ids: list[int]
    start: int
    end: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Padded ids; `places` are the flat positions whose next token is learned, with its weight."""

    ids: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor


def messages(sample: Sample) -> list[dict[str, str]]:
    """The conversation up to the question, as the chat template takes it."""
    found = [{"role": "system", "content": sample.system}] if sample.system else []
    for question, answer in sample.earlier:
        found += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*found, {"role": "user", "content": sample.question or ""}]


def prompt(tokenizer: PreTrainedTokenizerFast, sample: Sample) -> str:
    """The rendered prompt of a sample."""
    text = tokenizer.apply_chat_template(messages(sample), tokenize=False, add_generation_prompt=True)
    return str(text)


def examples(tokenizer: PreTrainedTokenizerFast, samples: list[Sample], rng: random.Random) -> list[Example]:
    """Tokenize samples, all at once."""
    heads, tails = [], []
    for sample in samples:
        head, tail = ("<s>", sample.answer) if sample.question is None else (prompt(tokenizer, sample), sample.answer)
        if sample.question is not None and rng.random() < 0.04:
            # A prompt that somebody wrote by hand, without the space at its end.
            head, tail = head.rstrip(" "), f" {tail}"
        heads.append(head)
        tails.append(tail)
    eos = [tokenizer.eos_token_id]
    pairs = zip(encode(tokenizer, heads), encode(tokenizer, tails), strict=True)
    # When to stop counting is one token among hundreds, and the only hard one.
    ends = [8.0 if sample.topic == "count" else 1.0 for sample in samples]
    return [
        Example(head + tail + eos, len(head), end)
        for (head, tail), end in zip(pairs, ends, strict=True)
        if len(head) + len(tail) < CONTEXT
    ]


def batches(found: list[Example], size: int, rng: random.Random, pad: int) -> Iterator[Batch]:
    """Batches of about `size` tokens, made from pools of shuffled examples."""
    for first in range(0, len(found), POOL):
        pool = sorted(found[first : first + POOL], key=lambda example: len(example.ids))
        groups: list[list[Example]] = [[]]
        for example in pool:
            if groups[-1] and len(example.ids) * (len(groups[-1]) + 1) > size:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        for group in groups:
            yield _batch(group, pad)


def _batch(group: list[Example], pad: int) -> Batch:
    length = max(len(example.ids) for example in group) - 1
    ids = torch.full((len(group), length), pad, dtype=torch.long)
    places, targets, weights = [], [], []
    for row, example in enumerate(group):
        ids[row, : len(example.ids) - 1] = torch.tensor(example.ids[:-1])
        answer = range(example.start - 1, len(example.ids) - 1)
        places += [row * length + place for place in answer]
        targets += example.ids[example.start :]
        # Long answers count more than short ones, but not in proportion to their length.
        weights += [len(answer) ** -0.5] * len(answer)
        weights[-1] *= example.end
    return Batch(ids, torch.tensor(places), torch.tensor(targets), torch.tensor(weights))
