"""Trains the demo model from nothing and writes it as a folder: python deploy/demo_model/train.py."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.demo_model.demo.trainer import Plan

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent.parent)  # the project, so that `deploy` is found
TEXTS_FOR_TOKENIZER = 20_000


def main() -> int:
    """Read the command line, train, evaluate, write."""
    options = _options()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from rich.console import Console

        from deploy.demo_model.demo.corpus import CorpusError
        from deploy.demo_model.demo.export import ExportError
        from deploy.demo_model.demo.trainer import QUICK, Plan
    except ModuleNotFoundError as error:
        print(
            f"train.py: {error.name} is not installed; run it with .venv/bin/python (see the README)",
            file=sys.stderr,
        )
        return 2
    logging.getLogger("transformers").setLevel(logging.ERROR)
    plan = QUICK if options.quick else Plan()
    try:
        return _make(plan, options.out, options.threads, quick=options.quick, console=Console())
    except (CorpusError, ExportError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.py: stopped; nothing was written", file=sys.stderr)
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the demo model (26 minutes on one core of a 2.8 GHz Xeon).")
    parser.add_argument("--out", type=Path, help="output folder (default: get-data-demo, beside this file)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; makes a useless model in --out")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with (default: one for each core)")
    options = parser.parse_args()
    if options.quick and options.out is None:
        parser.error("--quick needs --out, so that it never replaces the real model")
    if options.threads < 0:
        parser.error("--threads must not be negative")
    options.out = (options.out or HERE / "get-data-demo").resolve()
    return options


def _make(plan: Plan, out: Path, threads: int, *, quick: bool, console: Console) -> int:
    import torch

    from deploy.demo_model.demo import corpus as texts
    from deploy.demo_model.demo import evaluate, export, tokenizer, trainer
    from deploy.demo_model.demo.samples import Sampler

    export.check(out)
    began = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    corpus = texts.load()
    drawn = islice(Sampler(corpus, plan.seed + 1).stream(), TEXTS_FOR_TOKENIZER)
    words = tokenizer.train((t for s in drawn for t in (s.system, s.question, s.answer) if t), plan.vocabulary)
    model = trainer.build(plan, words)
    parameters = sum(p.numel() for p in model.parameters())
    console.print(f"{len(corpus.topics)} topics, {len(words)} tokens, {parameters / 1e6:.2f} million parameters")
    work = trainer.prepare(plan, corpus, words)
    with trainer.columns() as progress:
        loss = trainer.train(plan, model, work, progress)
    console.print(f"loss {loss:.3f} after {time.monotonic() - began:.0f} s")

    scores = []
    for kind, samples in {} if quick else evaluate.held_out(corpus).items():
        also = tuple(corpus.unknown.answers.values()) if kind == "modest" else ()
        score = evaluate.score(model, words, kind, samples, also)
        scores.append(score)
        console.print(f"{kind}: {score.right} of {score.total}", highlight=False)
        for sample, text in score.wrong[:12]:
            console.print(f"    {sample.question!r} -> {text[:90]!r}", style="dim", markup=False, highlight=False)
    figures = {score.kind: f"{score.right} of {score.total}" for score in scores}
    export.write(out, model, words, export.card(parameters, len(words), figures))
    size = sum(file.stat().st_size for file in out.iterdir())
    console.print(f"wrote {out.name} ({size / 1e6:.1f} MB) after {time.monotonic() - began:.0f} s")
    missed = [s.kind for s in scores if s.share < evaluate.GOALS.get(s.kind, 0.0)]
    if missed:
        console.print(f"[bold red]below the goal: {', '.join(missed)}[/]")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
