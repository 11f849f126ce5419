"""What is expected of the gateway beside the others, and whether a run shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import figures
from tests.bench.table import SAID, TITLES, figure, interval, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.load import Cell
    from tests.bench.rounds import Result, Series
    from tests.bench.sides import Name

_BUSY = (16, 64)
"""Requests at a time for which throughput is promised."""

_GATEWAY: tuple[Name, ...] = ("get-data", "chat")


@dataclass(frozen=True)
class Promise:
    """One promise.

    Attributes:
        words: what is compared, and with whom.
        other: whom the gateway is compared with.
        applies: whether it is promised for a cell.
        values: from the gateway's and the other's figures to one value for each round.
        bound: what the values have to reach, or must not exceed.
        least: whether they have to reach it.
        form: how a value is written.
    """

    words: str
    other: Name
    applies: Callable[[Cell], bool]
    values: Callable[[Series, Series], list[float]]
    bound: float
    least: bool = True
    form: str = ".2f"

    def verdict(self, values: Sequence[float]) -> figures.Verdict:
        """Whether it holds."""
        return figures.at_least(values, self.bound) if self.least else figures.at_most(values, self.bound)


def _speed(gateway: Series, other: Series) -> list[float]:
    return figures.ratios(gateway.tokens_per_second, other.tokens_per_second)


def _first_added(gateway: Series, other: Series) -> list[float]:
    return [1000 * value for value in figures.differences(gateway.first_p50, other.first_p50)]


def _front_cpu(gateway: Series, other: Series) -> list[float]:
    return figures.ratios(gateway.front_cpu, other.front_cpu)


PROMISES = (
    Promise("tokens/s, over AsyncLLM", "bare", lambda cell: cell.level in _BUSY, _speed, 0.98),
    Promise("tokens/s, over `vllm serve`", "serve", lambda cell: cell.level in _BUSY, _speed, 1.0),
    Promise("tokens/s, over LiteLLM", "litellm", lambda cell: cell.level in _BUSY and not cell.stream, _speed, 1.5),
    Promise("tokens/s, over LiteLLM", "litellm", lambda cell: cell.level in _BUSY and cell.stream, _speed, 2.0),
    Promise(
        "first token p50, ms more than AsyncLLM",
        "bare",
        lambda cell: cell.level == 1 and cell.stream,
        _first_added,
        3.0,
        least=False,
        form=".1f",
    ),
    Promise(
        "front end's CPU for a token, over `vllm serve`",
        "serve",
        lambda cell: cell.stream,
        _front_cpu,
        1.0,
        least=False,
    ),
)


def render(result: Result) -> str:
    """A table of all that this run can tell."""
    rows = [
        row
        for promise in PROMISES
        for cell, sides in result.series.items()
        if promise.applies(cell)
        for row in _rows(promise, cell, sides)
    ]
    if not rows:
        return ""
    head = ["", "median (least-largest)", "interval of the median", "expected", ""]
    return "## What is expected\n\n" + table(head, rows)


def _rows(promise: Promise, cell: Cell, sides: Mapping[Name, Series]) -> list[list[str]]:
    if promise.other not in sides:
        return []
    rows = []
    for name in (name for name in _GATEWAY if name in sides):
        values = promise.values(sides[name], sides[promise.other])
        rows.append(
            [
                f"{TITLES[name]}, {cell}: {promise.words}",
                figure(values, promise.form),
                interval(values, promise.form),
                f"at {'least' if promise.least else 'most'} {promise.bound:{promise.form}}",
                SAID[promise.verdict(values)],
            ]
        )
    return rows
