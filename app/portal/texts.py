"""What the portal shows of this gateway beside its API: the card of its model, and the changelog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts in Markdown.

    Attributes:
        cards: of the models that are served, by name.
        changelog: what has changed, and when.
    """

    cards: Mapping[str, str]
    changelog: str


def read_texts(model: str | None) -> Texts:
    """The texts of a gateway.

    Args:
        model: what it serves: a folder, whose README.md is the card, or a Hugging Face id. None where nothing is known.
    """
    cards = {} if model is None else {Path(model).name if Path(model).is_dir() else model: _card(model)}
    return Texts(cards, (ROOT / "CHANGELOG.md").read_text("utf-8"))


def _card(model: str) -> str:
    folder = Path(model)
    if not folder.is_dir():
        return f"The card of this model is at Hugging Face: [{model}](https://huggingface.co/{model})."
    card = folder / "README.md"
    if not card.is_file():
        return "This model came without a card: its folder has no `README.md`."
    return card.read_text("utf-8", errors="replace")
