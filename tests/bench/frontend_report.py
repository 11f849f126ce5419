"""The part of the report on what the gateway costs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import figures
from tests.bench.frontend import KINDS, STEP_SECONDS
from tests.bench.table import SAID, figure, interval, table

if TYPE_CHECKING:
    from tests.bench.frontend import Cell, FrontResult, Kind, Series

REQUESTS_PER_CORE = 1500
"""Whole answers for a CPU second of the front end."""

TOKENS_PER_CORE = 60_000
"""Streamed ids for a CPU second of the front end."""


def render(result: FrontResult) -> str:
    """Its sections."""
    parts = [_told(), *(_kind(kind, result) for kind in KINDS), _scaling(result), _memory(result)]
    return "\n\n".join(part for part in parts if part)


def _told() -> str:
    return f"""## The front end by itself

The gateway's own gunicorn, app, store (SQLite), limits, ledger, metrics and log over an engine without a model. Its
answers are there at once, or grow by an id every {1000 * STEP_SECONDS:g} ms and are handed on in the beat that
vLLM's are. The caller's product has every limit. "A core" is a CPU second of the worker processes, the engine's clock
in them included. "Added" is from the request until the engine was asked, and from when an id was due until its caller
had it; callers that ask all at once wait for one another, and that is in it."""


def _kind(kind: Kind, result: FrontResult) -> str:
    found = [(cell, series) for cell, series in result.series.items() if cell.kind == kind]
    rows = [_row(cell, series) for cell, series in found]
    unit, target = _target(kind)
    head = [
        "workers, at a time",
        f"{unit}/s",
        f"{unit}/s a core",
        f"at least {target} a core?",
        "first text, added p50, ms",
        "p99",
        "whole answer, added p50, ms",
        "p99",
        "cores that the workers had",
        "engine's clock, % of that",
        "load client, % of a core",
        "others, % of the machine",
    ]
    return f"### {str(kind).capitalize()}\n\n{table(head, rows)}"


def _target(kind: Kind) -> tuple[str, int]:
    return ("tokens", TOKENS_PER_CORE) if kind.stream else ("requests", REQUESTS_PER_CORE)


def _row(cell: Cell, series: Series) -> list[str]:
    _, target = _target(cell.kind)
    by_clock = series.tokens_per_second if cell.kind.stream else series.requests_per_second
    by_core = series.tokens_per_core if cell.kind.stream else series.requests_per_core
    return [
        f"{cell.workers}, {cell.level}",
        figure(by_clock, ".0f"),
        figure(by_core, ".0f"),
        SAID[figures.at_least(by_core, target)],
        figure(series.first_p50, ".1f", 1000),
        figure(series.first_p99, ".1f", 1000),
        figure(series.total_p50, ".1f", 1000),
        figure(series.total_p99, ".1f", 1000),
        figure(series.busy, ".2f"),
        figure(series.engine_share, ".0f", 100),
        figure(series.driver_share, ".0f", 100),
        figure(series.others_share, ".0f", 100),
    ]


def _scaling(result: FrontResult) -> str:
    least = min(cell.workers for cell in result.series)
    rows = [
        [f"{cell.workers} workers, {cell.level} at a time: {cell.kind}", *_over(result, cell, least)]
        for cell in result.series
        if cell.workers > least
    ]
    if not rows:
        return ""
    head = ["", f"requests/s, over {least}", "interval", "requests/s a core, over it", "interval"]
    return "### More workers\n\n" + table(head, rows)


def _over(result: FrontResult, cell: Cell, least: int) -> list[str]:
    series = result.series[cell]
    base = next(
        found
        for other, found in result.series.items()
        if (other.workers, other.kind, other.level) == (least, cell.kind, cell.level)
    )
    by_clock = figures.ratios(series.requests_per_second, base.requests_per_second)
    by_core = figures.ratios(series.requests_per_core, base.requests_per_core)
    return [figure(by_clock, ".2f"), interval(by_clock), figure(by_core, ".2f"), interval(by_core)]


def _memory(result: FrontResult) -> str:
    rows = [
        [f"{number}", f"{resident:.0f}", f"{proportional:.0f}"]
        for number, (resident, proportional) in result.memory.items()
    ]
    head = ["workers", "resident (RSS), MiB", "shared pages split among their owners (PSS), MiB"]
    return "### Memory of the workers at the end\n\n" + table(head, rows)
