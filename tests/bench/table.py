"""Figures and tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence


def figure(values: Sequence[float], form: str, factor: float = 1.0) -> str:
    """The median of some rounds, with the least and the largest behind it; a hyphen where there are none."""
    if not values:
        return "-"
    found = Figure.of([value * factor for value in values])
    return f"{found.median:{form}} ({found.low:{form}}-{found.high:{form}})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
