"""Figures and tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.sides import Name

TITLES: Mapping[Name, str] = {
    "bare": "AsyncLLM",
    "serve": "`vllm serve`, chat",
    "get-data": "gateway, Get Data",
    "chat": "gateway, chat",
    "litellm": "LiteLLM before `vllm serve`, chat",
}

SAID: Mapping[figures.Verdict, str] = {
    "yes": "holds",
    "no": "does not hold",
    "open": "open: the spread does not tell",
}


def figure(values: Sequence[float], form: str, factor: float = 1.0) -> str:
    """The median of some rounds, with the least and the largest behind it; a hyphen where there are none."""
    if not values:
        return "-"
    found = figures.Figure.of([value * factor for value in values])
    return f"{found.median:{form}} ({found.low:{form}}-{found.high:{form}})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def interval(values: Sequence[float], form: str = ".2f") -> str:
    """What holds the true median, in words."""
    found = figures.median_interval(values)
    return "too few rounds" if found is None else f"{found[0]:{form}} to {found[1]:{form}}"
