"""What the report says of a run, and its plot: from sides that only pretend."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.settings import Settings
from tests.bench import arguments, frontend, plot, report, rounds, targets
from tests.bench.load import MAX_TOKENS, Cell, Load, Outcome, Sample
from tests.bench.startup import Starts
from tests.bench.test_rounds import PretendedSide

if TYPE_CHECKING:
    from tests.bench.rounds import Result
    from tests.bench.sides import Name, Side

CHOSEN = arguments.parse(["--rounds", "6", "--levels", "1,16", "--quick", "--sides", "a,b,c,d", "--output", "of.md"])


class Paced(PretendedSide):
    """Answers at a speed of its own, in tokens a second."""

    def __init__(self, name: str, speed: float) -> None:
        super().__init__(name, [], lambda _turn: MAX_TOKENS)
        self._speed = speed

    def run(self, load: Load) -> Outcome:
        """At its speed; the first token is there after a hundredth of the answer's time."""
        each = MAX_TOKENS / self._speed
        first = each / 100 if load.stream else None
        samples = [
            Sample(first, each, 9, MAX_TOKENS, prompt, number * each) for number, prompt in enumerate(load.prompts)
        ]
        return Outcome(each * len(samples), 0.0, samples)


@pytest.fixture(scope="module")
def result() -> Result:
    speeds: dict[Name, float] = {"bare": 1000, "serve": 900, "get-data": 990, "chat": 890, "litellm": 500}
    sides: dict[Name, Side] = {name: Paced(name, speed) for name, speed in speeds.items()}
    return rounds.measure(lambda _number: nullcontext(sides), CHOSEN, rest=0.01)


def rendered(result: Result | None) -> str:
    return report.render(
        report.Run(
            arguments=CHOSEN,
            settings=Settings.model_construct(),
            machine={"CPU": "one"},
            date="2026-11-25",
            load_average=(0.0, 0.0),
            starts=Starts(),
            litellm="litellm 1",
            result=result,
        )
    )


def row(text: str, *words: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith("|") and all(word in line for word in words)]
    return found


def test_each_side_has_a_column_of_figures(result: Result) -> None:
    table = rendered(result).split("## Output tokens a second\n\n")[1].split("\n\n")[1]
    assert [cell.strip() for cell in table.splitlines()[0].split("|")[2:-1]] == [
        "AsyncLLM",
        "`vllm serve`, chat",
        "gateway, Get Data",
        "gateway, chat",
        "LiteLLM before `vllm serve`, chat",
    ]
    assert "| 16 at a time, whole | 1000 (1000-1000) | 900 (900-900) | 990 (990-990) | 890 (890-890) |" in table


@pytest.mark.parametrize(
    ("operation", "compared", "said"),
    [
        ("gateway, Get Data", "over AsyncLLM", "| 0.99 (0.99-0.99) | 0.99 to 0.99 | at least 0.98 | holds |"),
        ("gateway, chat", "over AsyncLLM", "| 0.89 (0.89-0.89) | 0.89 to 0.89 | at least 0.98 | does not hold |"),
        ("gateway, Get Data", "tokens/s, over `vllm serve`", "| at least 1.00 | holds |"),
        ("gateway, Get Data", "over LiteLLM", "| 1.98 (1.98-1.98) | 1.98 to 1.98 | at least 1.50 | holds |"),
    ],
)
def test_what_is_expected_is_held_against_the_rounds(result: Result, operation: str, compared: str, said: str) -> None:
    text = targets.render(result)
    assert row(text, operation, compared, "16 at a time, whole").endswith(said)


def test_streams_have_an_expectation_of_their_own_beside_a_proxy(result: Result) -> None:
    line = row(targets.render(result), "Get Data", "over LiteLLM", "16 at a time, streamed")
    assert line.endswith("| at least 2.00 | does not hold |")


def test_what_is_added_to_the_first_token_is_a_difference_in_ms(result: Result) -> None:
    text = targets.render(result)
    # A hundredth of 64 tokens at 990 a second, less that at 1000.
    assert "| 0.0 (0.0-0.0) | 0.0 to 0.0 | at most 3.0 | holds |" in row(text, "Get Data", "first token p50")
    assert "1 at a time, streamed" in row(text, "gateway, chat", "first token p50")


def test_without_a_side_nothing_is_said_of_it(result: Result) -> None:
    kept: list[Name] = ["bare", "get-data"]
    left = {cell: {name: sides[name] for name in kept} for cell, sides in result.series.items()}
    text = targets.render(rounds.Result(result.prompts, result.rounds, left))
    assert "LiteLLM" not in text
    assert "vllm serve" not in text
    assert "over AsyncLLM" in text


def test_the_report_tells_the_versions_the_ids_and_what_rested(result: Result) -> None:
    text = rendered(result)
    assert "| LiteLLM | litellm 1 |" in text
    assert f"given the same ids for all {result.same_ids} prompts" in text
    assert "![The figures below as a plot](of.svg)" in text
    assert result.same_ids == CHOSEN.prompts
    assert "| AsyncLLM: front | " in text


def front() -> frontend.FrontResult:
    cells = [frontend.Cell(workers, kind, level) for kind in frontend.KINDS for level in (1, 64) for workers in (1, 2)]
    text = "10.002000 10.010000" + " token" * 62 + " token 10.200000"
    series = {cell: frontend.Series() for cell in cells}
    for one in series.values():
        outcome = Outcome(0.5, 0.05, [Sample(0.013, 0.205, 9, MAX_TOKENS, text, 10.0)])
        one.add(outcome, front_cpu=0.02, engine_cpu=0.0, others_share=0.0)
    return frontend.FrontResult(1, series, {1: (1.0, 1.0), 2: (2.0, 2.0)})


def test_the_same_figures_are_the_same_plot(result: Result) -> None:
    drawn = plot.render(result, front())
    assert drawn == plot.render(result, front())
    assert drawn.startswith(b"<?xml")
    for words in (b"Output tokens/s, whole, over AsyncLLM", b"LiteLLM before vllm serve, chat", b"Front end alone"):
        assert words in drawn


def test_either_half_is_a_plot_by_itself(result: Result) -> None:
    assert b"Front end alone" not in plot.render(result, None)
    alone = plot.render(None, front())
    assert b"Front end alone" in alone
    assert b"AsyncLLM" not in alone


def test_a_cell_is_told_in_words() -> None:
    assert str(Cell(16, stream=True)) == "16 at a time, streamed"
    assert arguments.parse(["--output", "x/y.md"]).plot == Path("x/y.svg")
    with pytest.raises(SystemExit):
        arguments.parse(["--sides", "d"])
