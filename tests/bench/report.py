"""The Markdown. What the spread of the rounds does not carry is not claimed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import figures, frontend_report, targets
from tests.bench.figures import Figure
from tests.bench.load import MAX_TOKENS
from tests.bench.sides import SERVE_FLAGS
from tests.bench.table import TITLES, figure, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.settings import Settings
    from tests.bench.arguments import Arguments
    from tests.bench.frontend import FrontResult
    from tests.bench.rounds import Result, Series
    from tests.bench.startup import Starts

_ENGINE_VARIABLES = ("VLLM_", "OMP_", "TOKENIZERS_", "LD_PRELOAD", "ENGINE_CORE")


@dataclass(frozen=True)
class Run:
    """Everything that a report is made of.

    Attributes:
        litellm: which one, and how it was set up; or why there is none.
        result: of the sides that answer with a model, where there were any.
        front: of the front end by itself, where it was measured.
    """

    arguments: Arguments
    settings: Settings
    machine: dict[str, str]
    date: str
    load_average: tuple[float, float]
    starts: Starts
    litellm: str
    result: Result | None
    front: FrontResult | None = None


def render(run: Run) -> str:
    """The whole report."""
    parts = [_setting(run)]
    if run.result is not None:
        parts += [targets.render(run.result), *_sections(run.result), _memory(run.result)]
        if run.starts.bare:
            parts.append(_starts(run.starts))
    if run.front is not None:
        parts.append(frontend_report.render(run.front))
    if run.result is not None:
        parts.append(_checks(run, run.result))
    return "\n\n".join(part for part in parts if part) + "\n"


def _setting(run: Run) -> str:
    counts = ", ".join(f"{run.arguments.requests(level)} at {level}" for level in run.arguments.levels)
    variables = " ".join(f"{name}={value}" for name, value in sorted(_engine_environment().items()))
    rows = {
        **run.machine,
        "Date": run.date,
        "Model": run.settings.model_names[0],
        "Engine flags, all sides": f"`{' '.join(run.settings.engine_flags) or 'none'}`",
        "Engine environment, all sides": f"`{variables}`",
        "`vllm serve`": f"one API server, with `{' '.join(SERVE_FLAGS)}`",
        "Gateway": f"{run.settings.workers} worker, {run.settings.threads} threads, SQLite; a product with every "
        "limit, ledger, metrics and logs on",
        "LiteLLM": run.litellm,
        "Work": f"{run.arguments.rounds} rounds, all sides loaded {_times(run.arguments.loadings)}; requests in a "
        f"round, each side: {counts}; greedy, {MAX_TOKENS} output tokens each",
    }
    told = """Medians of the rounds, with the least and the largest in brackets. A ratio is formed within each round,
the sides of which ran one after the other."""
    setting = table(["", ""], [[name, value] for name, value in rows.items()])
    return f"{told}\n\n![The figures below as a plot]({run.arguments.plot.name})\n\n{setting}"


def _times(loadings: int) -> str:
    return "once" if loadings == 1 else f"{loadings} times, and each time the other way round"


def _engine_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_ENGINE_VARIABLES)}


def _sections(result: Result) -> list[str]:
    def of(choose: Callable[[Series], Sequence[float]], form: str, factor: float = 1.0) -> str:
        rows = [
            [str(cell), *(figure(choose(series), form, factor) for series in sides.values())]
            for cell, sides in result.series.items()
            if any(choose(series) for series in sides.values())
        ]
        names = next(iter(result.series.values()))
        return table(["", *(TITLES[name] for name in names)], rows)

    return [
        "## Output tokens a second\n\nWhile all callers were at work: until the last prompt was sent.\n\n"
        + of(lambda series: series.tokens_per_second, ".0f"),
        "From the first request to the last answer:\n\n" + of(lambda series: series.tokens_to_the_end, ".0f"),
        "## Requests a second\n\n" + of(lambda series: series.requests_per_second, ".1f"),
        "## Time to the first token, ms\n\nAsyncLLM: its first output with a token. Servers: the first event with "
        "text, at the caller.\n\np50:\n\n" + of(lambda series: series.first_p50, ".1f", 1000),
        "p99:\n\n" + of(lambda series: series.first_p99, ".1f", 1000),
        "## Time to the whole answer, ms\n\np50:\n\n" + of(lambda series: series.total_p50, ".0f", 1000),
        "p99:\n\n" + of(lambda series: series.total_p99, ".0f", 1000),
        "## CPU seconds of the front end for 1,000 output tokens\n\nThe front end is what HTTP, keys, chat template, "
        "tokenizer and detokenizer run in: the gateway's workers, vLLM's API server, the process around AsyncLLM.\n\n"
        + of(lambda series: series.front_cpu, ".3f"),
        "## CPU seconds of EngineCore for 1,000 output tokens\n\n" + of(lambda series: series.engine_cpu, ".3f"),
        "## Load client, % of one core\n\n" + of(lambda series: series.driver_share, ".1f", 100),
    ]


def _memory(result: Result) -> str:
    rows = [
        [
            "load client" if part == "client" else f"{TITLES[name]}: {part}",
            f"{resident:.0f}",
            f"{proportional:.0f}",
            f"{100 * result.resting[name, part]:.1f}",
        ]
        for (name, part), (resident, proportional) in result.memory.items()
    ]
    head = ["", "resident (RSS)", "shared pages split among their owners (PSS)", "% of one core"]
    return "## Memory at the end, MiB, and CPU while nobody asks for anything\n\n" + table(head, rows)


def _starts(starts: Starts) -> str:
    ratios = figures.ratios(starts.first, starts.bare)
    rows = [
        ["AsyncLLM: first token", figure(starts.bare, ".1f")],
        ["gateway: `/health/live` answered", figure(starts.live, ".1f")],
        ["gateway: `/health/ready` is 200", figure(starts.ready, ".1f")],
        ["gateway: first token at the caller", figure(starts.first, ".1f")],
        ["gateway / AsyncLLM, first token", figure(ratios, ".2f")],
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
    ids = (
        f"AsyncLLM and `vllm serve` were given the same ids for all {result.same_ids} prompts.\n- "
        if result.same_ids
        else ""
    )
    return f"""## Checks, and how far to trust this

- {ids}Every answer had the same number of prompt tokens and of output tokens on all sides.
- The text was the same on all sides for {same} of {answers} answers. (Batches differ in how they fall, and with
  them the last bits of a sum; a near tie between two tokens can tip over.)
- Others took {others.median:.0f}% of the machine's CPU time during the cells ({others.low:.0f} to
  {others.high:.0f}%); the load average was {before:.1f} before and {after:.1f} after. Above a few per cent, the
  absolute figures are those of a busy machine and mean little outside this run.
- The sides that were idle took {idle.median:.1f}% of one core together (at most {idle.high:.1f}%).
- {_on_claims(result.rounds)}"""


def _on_claims(rounds: int) -> str:
    if figures.median_interval(range(rounds)) is None:
        return f"{rounds} rounds are too few to claim anything."
    share = f"{100 * figures.CONFIDENCE:.0f}%"
    return f"A claim is made where the {share} interval of the median (sign test) lies on one side of it."
