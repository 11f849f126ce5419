"""The Markdown. What the spread of the rounds does not carry is not claimed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import figures, frontend_report
from tests.bench.figures import Figure
from tests.bench.load import MAX_TOKENS
from tests.bench.table import figure, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.settings import Settings
    from tests.bench.arguments import Arguments
    from tests.bench.frontend import FrontResult
    from tests.bench.load import Cell
    from tests.bench.rounds import Result, Series
    from tests.bench.startup import Starts

EXPECTED = 0.95
EXPECTED_FROM_LEVEL = 16
_ENGINE_VARIABLES = ("VLLM_", "OMP_", "TOKENIZERS_", "LD_PRELOAD")


@dataclass(frozen=True)
class Run:
    """Everything that a report is made of."""

    arguments: Arguments
    settings: Settings
    machine: dict[str, str]
    date: str
    load_average: tuple[float, float]
    starts: Starts
    result: Result | None
    front: FrontResult | None = None


def render(run: Run) -> str:
    """The whole report."""
    parts = [_setting(run)]
    if run.result is not None:
        parts += [_throughput(run.result), _times(run.result), _costs(run.result), _memory(run.result)]
        if run.starts.bare:
            parts.append(_starts(run.starts))
    if run.front is not None:
        parts.append(frontend_report.render(run.front))
    if run.result is not None:
        parts.append(_checks(run, run.result))
    return "\n\n".join(parts) + "\n"


def _setting(run: Run) -> str:
    counts = ", ".join(f"{run.arguments.requests(level)} at {level}" for level in run.arguments.levels)
    variables = " ".join(f"{name}={value}" for name, value in sorted(_engine_environment().items()))
    rows = {
        **run.machine,
        "Date": run.date,
        "Model": run.settings.model_names[0],
        "Engine flags, both": f"`{' '.join(run.settings.engine_flags) or 'none'}`",
        "Engine environment, both": f"`{variables}`",
        "Gateway": f"{run.settings.workers} worker, {run.settings.threads} threads, SQLite, keys checked, logs on",
        "Work": f"{run.arguments.rounds} rounds; requests in a round, each side: {counts}; greedy, {MAX_TOKENS} output "
        "tokens each",
    }
    told = """Medians of the rounds, with the least and the largest in brackets. A ratio is formed within each round,
the two sides of which ran one after the other.

"""
    return told + table(["", ""], [[name, value] for name, value in rows.items()])


def _engine_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_ENGINE_VARIABLES)}


def _throughput(result: Result) -> str:
    rows = []
    for cell, sides in result.series.items():
        ratios = figures.ratios(sides["gateway"].tokens_per_second, sides["bare"].tokens_per_second)
        expected = frontend_report.SAID[figures.at_least(ratios, EXPECTED)] if cell.level >= EXPECTED_FROM_LEVEL else ""
        rows.append(
            [
                str(cell),
                *(figure(sides[name].tokens_per_second, ".0f") for name in ("bare", "gateway")),
                figure(ratios, ".2f"),
                expected,
                *(figure(sides[name].requests_per_second, ".1f") for name in ("bare", "gateway")),
            ]
        )
    head = [
        "",
        "bare, tokens/s",
        "gateway, tokens/s",
        "gateway / bare",
        f"at least {EXPECTED:g}?",
        "bare, requests/s",
        "gateway, requests/s",
    ]
    return "## Throughput\n\n" + table(head, rows)


def _times(result: Result) -> str:
    def rows(choose: Callable[[Series], tuple[Sequence[float], Sequence[float]]]) -> list[list[str]]:
        return [_time_row(cell, sides, choose) for cell, sides in result.series.items() if choose(sides["bare"])[0]]

    head = ["", "bare, p50", "gateway, p50", "gateway / bare", "bare, p99", "gateway, p99", "gateway / bare"]
    first = table(head, rows(lambda series: (series.first_p50, series.first_p99)))
    total = table(head, rows(lambda series: (series.total_p50, series.total_p99)))
    return (
        "## Time to the first token, ms\n\nThe bare engine: its first output with a token. The gateway: its first "
        f"event with text, at the caller.\n\n{first}\n\n## Time to the whole answer, ms\n\n{total}"
    )


def _time_row(
    cell: Cell, sides: dict[str, Series], choose: Callable[[Series], tuple[Sequence[float], Sequence[float]]]
) -> list[str]:
    row = [str(cell)]
    for bare, gateway in zip(choose(sides["bare"]), choose(sides["gateway"]), strict=True):
        row += [
            figure(bare, ".0f", 1000),
            figure(gateway, ".0f", 1000),
            figure(figures.ratios(gateway, bare), ".2f"),
        ]
    return row


def _costs(result: Result) -> str:
    rows = [
        [
            str(cell),
            *(figure(sides[name].front_cpu, ".2f") for name in ("bare", "gateway")),
            *(figure(sides[name].engine_cpu, ".2f") for name in ("bare", "gateway")),
            figure(sides["gateway"].driver_share, ".1f", 100),
        ]
        for cell, sides in result.series.items()
    ]
    head = [
        "",
        "bare, front end",
        "gateway, workers",
        "bare, EngineCore",
        "gateway, EngineCore",
        "load client, % of one core",
    ]
    return "## CPU seconds for 1,000 output tokens\n\n" + table(head, rows)


def _memory(result: Result) -> str:
    names = {
        ("bare", "front"): "bare: AsyncLLM",
        ("bare", "engine"): "bare: EngineCore",
        ("gateway", "front"): "gateway: workers",
        ("gateway", "engine"): "gateway: EngineCore",
        ("gateway", "host"): "gateway: engine host",
        ("gateway", "master"): "gateway: master",
        ("gateway", "client"): "load client",
    }
    rows = [
        [names[place], f"{resident:.0f}", f"{proportional:.0f}"]
        for place, (resident, proportional) in result.memory.items()
    ]
    head = ["", "resident (RSS)", "shared pages split among their owners (PSS)"]
    return "## Memory at the end, MiB\n\n" + table(head, rows)


def _starts(starts: Starts) -> str:
    ratios = figures.ratios(starts.first, starts.bare)
    rows = [
        ["bare: first token", figure(starts.bare, ".1f")],
        ["gateway: `/health/live` answered", figure(starts.live, ".1f")],
        ["gateway: `/health/ready` is 200", figure(starts.ready, ".1f")],
        ["gateway: first token at the caller", figure(starts.first, ".1f")],
        ["gateway / bare, first token", figure(ratios, ".2f")],
    ]
    return f"## Start-up, seconds since the process was started ({len(starts.bare)} starts each)\n\n" + table(
        ["", ""], rows
    )


def _checks(run: Run, result: Result) -> str:
    series = [found for sides in result.series.values() for found in sides.values()]
    others = Figure.of([100 * share for found in series for share in found.others_share])
    idle = Figure.of([100 * share for found in series for share in found.idle_share])
    same, answers = result.same_text
    before, after = run.load_average
    return f"""## Checks, and how far to trust this

- Every answer had the same number of prompt tokens and of output tokens on both sides.
- The text was the same on both sides for {same} of {answers} answers. (Batches differ in how they fall, and with
  them the last bits of a sum; a near tie between two tokens can tip over.)
- Others took {others.median:.0f}% of the machine's CPU time during the cells ({others.low:.0f} to
  {others.high:.0f}%); the load average was {before:.1f} before and {after:.1f} after. Above a few per cent, the
  absolute figures are those of a busy machine and mean little outside this run.
- The side that was idle took {idle.median:.1f}% of one core (at most {idle.high:.1f}%).
- {_on_claims(result.rounds)}"""


def _on_claims(rounds: int) -> str:
    if figures.median_interval(range(rounds)) is None:
        return f"{rounds} rounds are too few to claim anything."
    share = f"{100 * figures.CONFIDENCE:.0f}%"
    return f"A claim is made where the {share} interval of the ratio's median (sign test) lies on one side of it."
