"""Writes the finished model as a folder that transformers and vLLM load."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CARD = Path(__file__).resolve().parent.parent / "card.md"
MARK = "model.safetensors"
TEMPERATURE, TOP_P = 0.3, 0.9


class ExportError(Exception):
    """The output folder cannot be written; the message says why."""


def check(folder: Path) -> None:
    """Refuse, before the work begins, a folder that must not be replaced or cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; choose a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ExportError(f"{folder} holds something that is not a model; choose another folder with --out")
    parent = folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make {parent}: {error.strerror}") from error
    if not os.access(parent, os.W_OK):
        raise ExportError(f"cannot write to {parent}; choose another folder with --out")


def write(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, card: str) -> None:
    """Write everything beside the folder first, then put it in place: no half-written model is ever seen."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
        )
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (scratch / "README.md").write_text(card, encoding="utf-8")
        scratch.chmod(0o755)
        _swap(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(scratch: Path, folder: Path) -> None:
    old = scratch.with_name(scratch.name + "-old")
    if folder.exists():
        folder.rename(old)
    try:
        scratch.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def card(parameters: int, vocabulary: int, figures: dict[str, str]) -> str:
    """The model card: card.md with the figures filled in."""
    return CARD.read_text(encoding="utf-8").format(
        parameters=f"{parameters / 1e6:.2f}",
        vocabulary=vocabulary,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        figures="\n".join(f"| {kind} | {figure} |" for kind, figure in figures.items()) or "| none | - |",
    )
