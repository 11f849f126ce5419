"""Builds the model and trains it."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from deploy.demo_model.demo.batches import Batch, batches, examples
from deploy.demo_model.demo.optimizer import Optimizer
from deploy.demo_model.demo.samples import Sampler
from deploy.demo_model.demo.tokenizer import CONTEXT

if TYPE_CHECKING:
    from deploy.demo_model.demo.corpus import Corpus


@dataclass(frozen=True)
class Plan:
    """The size of the model and of its training."""

    vocabulary: int = 3072
    width: int = 256
    layers: int = 5
    inner: int = 704
    heads: int = 4
    key_value_heads: int = 2
    tokens_a_batch: int = 768
    batches_a_step: int = 2
    steps: int = 1500
    muon_rate: float = 0.02
    adam_rate: float = 0.004
    seed: int = 2


QUICK = Plan(vocabulary=1024, width=64, layers=2, inner=128, heads=1, key_value_heads=1, tokens_a_batch=512, steps=8)


def build(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A new model with random weights."""
    torch.manual_seed(plan.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=plan.width,
            intermediate_size=plan.inner,
            num_hidden_layers=plan.layers,
            num_attention_heads=plan.heads,
            num_key_value_heads=plan.key_value_heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            dtype="float32",
        )
    )


def prepare(plan: Plan, corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> list[Batch]:
    """All batches of the training, in order."""
    rng = random.Random(plan.seed)
    stream = Sampler(corpus, plan.seed).stream()
    wanted = plan.steps * plan.batches_a_step
    found: list[Batch] = []
    while len(found) < wanted:
        drawn = examples(tokenizer, list(islice(stream, 4000)), rng)
        found += batches(drawn, plan.tokens_a_batch, rng, tokenizer.eos_token_id)
    return found[:wanted]


def train(plan: Plan, model: LlamaForCausalLM, work: list[Batch], progress: Progress) -> float:
    """Train on all batches and return the mean loss of the last steps."""
    optimizer = Optimizer(model, plan.muon_rate, plan.adam_rate)
    model.train()
    task = progress.add_task("training", total=plan.steps, loss=float("nan"))
    mean = 0.0
    began = time.monotonic()
    for step in range(plan.steps):
        group = work[step * plan.batches_a_step : (step + 1) * plan.batches_a_step]
        whole = sum(float(batch.weights.sum()) for batch in group)
        loss = 0.0
        for batch in group:
            part = _loss(model, batch) / whole
            part.backward()
            loss += part.item()
        optimizer.step(schedule(step, plan.steps))
        mean = loss if step == 0 else 0.95 * mean + 0.05 * loss
        progress.update(task, advance=1, loss=mean)
        if not progress.console.is_terminal and (step + 1) % 50 == 0:
            spent = time.monotonic() - began
            progress.console.print(f"step {step + 1}/{plan.steps}, loss {mean:.3f}, {spent:.0f} s")
    model.eval()
    return mean


def schedule(step: int, steps: int) -> float:
    """Warm up over the first steps, then follow a cosine down to nearly 0."""
    warm_up = min(30, steps // 4 + 1)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def columns() -> Progress:
    """The progress bar."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def _loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[batch.places])
    return (cross_entropy(logits, batch.targets, reduction="none") * batch.weights).sum()
