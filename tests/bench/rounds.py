"""The order of things, and what is taken down: all sides loaded, one of them working, again and again in turn.

Of two gateways that were the same, the one that had been started last was 1 to 4% faster for as long as both lived. So
the sides are loaded more than once, and then the other way round.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field, fields
from itertools import cycle, islice
from typing import TYPE_CHECKING, TypeAlias

from tests.bench import figures, machine
from tests.bench.load import MAX_TOKENS, Cell, Load, Outcome, counting_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tests.bench.arguments import Arguments
    from tests.bench.sides import Name, Side

    Loading: TypeAlias = Callable[[int], AbstractContextManager[Mapping[Name, Side]]]

_PROBE_LEVEL = 64


class UnequalError(Exception):
    """The sides did not do the same work, so that their figures cannot be compared."""


@dataclass
class Series:
    """One side's figures in one cell, a value for each round."""

    tokens_per_second: list[float] = field(default_factory=list)
    requests_per_second: list[float] = field(default_factory=list)
    tokens_to_the_end: list[float] = field(default_factory=list)  # a second, to the last answer
    first_p50: list[float] = field(default_factory=list)
    first_p99: list[float] = field(default_factory=list)
    total_p50: list[float] = field(default_factory=list)
    total_p99: list[float] = field(default_factory=list)
    front_cpu: list[float] = field(default_factory=list)  # seconds for 1,000 output tokens, as the next
    engine_cpu: list[float] = field(default_factory=list)
    driver_share: list[float] = field(default_factory=list)  # of one core
    idle_share: list[float] = field(default_factory=list)  # of one core, by the other sides' processes
    others_share: list[float] = field(default_factory=list)  # of the machine, by processes that are not ours

    def add(
        self, outcome: Outcome, *, front_cpu: float, engine_cpu: float, idle_share: float, others_share: float
    ) -> None:
        """Take down a round; CPU in seconds."""
        thousands = outcome.output_tokens / 1000
        self.tokens_per_second.append(outcome.tokens_per_second)
        self.requests_per_second.append(outcome.requests_per_second)
        self.tokens_to_the_end.append(outcome.output_tokens / outcome.seconds)
        totals = [sample.total for sample in outcome.samples]
        self.total_p50.append(figures.percentile(totals, 0.5))
        self.total_p99.append(figures.percentile(totals, 0.99))
        firsts = [sample.first for sample in outcome.samples if sample.first is not None]
        if firsts:
            self.first_p50.append(figures.percentile(firsts, 0.5))
            self.first_p99.append(figures.percentile(firsts, 0.99))
        self.front_cpu.append(front_cpu / thousands)
        self.engine_cpu.append(engine_cpu / thousands)
        self.driver_share.append(outcome.driver_cpu / outcome.seconds)
        self.idle_share.append(idle_share)
        self.others_share.append(others_share)

    def extend(self, later: Series) -> None:
        """Append another series."""
        for figure in fields(self):
            getattr(self, figure.name).extend(getattr(later, figure.name))


@dataclass
class Result:
    """All rounds.

    Attributes:
        same_text: how many answers were the same text on all sides, of how many.
        same_ids: how many prompts were seen to be the same ids on the sides that tell.
        memory: resident and proportional MiB, by side and part, at the end.
        resting: CPU of the same while nobody asks for anything, as a share of one core.
    """

    prompts: int
    rounds: int
    series: dict[Cell, dict[Name, Series]]
    same_text: tuple[int, int] = (0, 0)
    same_ids: int = 0
    memory: dict[tuple[Name, str], tuple[float, float]] = field(default_factory=dict)
    resting: dict[tuple[Name, str], float] = field(default_factory=dict)

    def add(self, found: _Round) -> None:
        """Append a whole round."""
        self.rounds += 1
        for cell, sides in found.series.items():
            for name, series in sides.items():
                self.series[cell][name].extend(series)
        same, answers = self.same_text
        self.same_text = (same + found.same_text, answers + found.answers)


@dataclass
class _Round:
    """One round: a value in each series, and how many of its answers were the same text on all sides."""

    series: dict[Cell, dict[Name, Series]]
    same_text: int = 0
    answers: int = 0


def measure(load: Loading, arguments: Arguments, rest: float = 5.0) -> Result:
    """All rounds of all cells, or the whole ones until Ctrl-C or SIGTERM.

    Args:
        load: has all sides loaded, for the so many-th time; always in the same order in what it gives.
        arguments: how often, and how many at a time.
        rest: seconds in which nobody is asked for anything, to see what that costs.
    """
    run: _Run | None = None
    try:
        for number in range(arguments.loadings):
            end = arguments.rounds * (number + 1) // arguments.loadings
            _tell(f"loading all sides, {number + 1} of {arguments.loadings}")
            with load(number) as sides:
                run = run or _Run(arguments, sides)
                run.go_on(sides, end)
                _look_at_processes(run.result, sides, rest)
                if run.result.rounds < end:
                    break
    except KeyboardInterrupt:
        if run is None or not run.result.rounds:
            raise
    assert run is not None
    if run.result.rounds < arguments.rounds:
        _tell("broken off: the report has the whole rounds so far")
    return run.result


class _Run:
    """The rounds so far, and the prompts that are next. The sides it is made with are loaded for the first time."""

    def __init__(self, arguments: Arguments, sides: Mapping[Name, Side]) -> None:
        cells = [Cell(level, stream) for level in arguments.levels for stream in (False, True)]
        prompts = _probe(sides, arguments.prompts)
        series = {cell: {name: Series() for name in sides} for cell in cells}
        self.result = Result(len(prompts), 0, series, same_ids=_compare_ids(sides, prompts))
        self._arguments = arguments
        self._cells = cells
        self._following = cycle(prompts)

    def go_on(self, sides: Mapping[Name, Side], end: int) -> None:
        """As far as this round, or Ctrl-C."""
        if self.result.rounds:
            _probe(sides, self._arguments.prompts)
        try:
            while self.result.rounds < end:
                number = self.result.rounds
                self.result.add(_round(sides, self._arguments, self._cells, self._following, number=number))
        except KeyboardInterrupt:
            if not self.result.rounds:
                raise


def _look_at_processes(result: Result, sides: Mapping[Name, Side], rest: float) -> None:
    """What they hold, and what they do when nobody asks for anything. Sides that are the same processes count once."""
    places: dict[tuple[int, ...], tuple[Name, str]] = {}
    for name, side in sides.items():
        for part, found in side.processes().items():
            if found:
                places.setdefault(tuple(found), (name, part))
    before = {pids: machine.cpu_seconds(*pids) for pids in places}
    began = time.monotonic()
    time.sleep(rest)
    passed = time.monotonic() - began
    for pids, place in places.items():
        result.resting[place] = (machine.cpu_seconds(*pids) - before[pids]) / passed
        result.memory[place] = machine.memory_mib(*pids)


def _round(
    sides: Mapping[Name, Side], arguments: Arguments, cells: Sequence[Cell], prompts: Iterator[str], *, number: int
) -> _Round:
    """Each cell once on each side."""
    # Whoever comes second finds the machine as the first has left it: take turns.
    order = list(sides) if number % 2 == 0 else list(sides)[::-1]
    found = _Round({cell: {name: Series() for name in sides} for cell in cells})
    for cell, series in found.series.items():
        load = Load(cell.level, cell.stream, list(islice(prompts, arguments.requests(cell.level))))
        outcomes = {name: _run(sides, name, load, series[name]) for name in order}
        found.same_text += _compare(outcomes)
        found.answers += len(load.prompts)
        _tell(f"round {number + 1} of {arguments.rounds}, {cell}: {_speeds(series)}")
    return found


def _probe(sides: Mapping[Name, Side], number: int) -> list[str]:
    """Warm all sides up, and keep the prompts that all answer in full length."""
    candidates = counting_prompts(number)
    _tell(f"warming up with {len(candidates)} prompts")
    full = set(candidates)
    for side in sides.values():
        samples = side.run(Load(_PROBE_LEVEL, stream=True, prompts=candidates)).samples
        full &= {
            prompt for prompt, sample in zip(candidates, samples, strict=True) if sample.output_tokens == MAX_TOKENS
        }
        side.run(Load(1, stream=False, prompts=candidates[:2]))
    if len(full) < number / 4:
        raise UnequalError(f"only {len(full)} of {len(candidates)} counting prompts are answered in full length")
    return [prompt for prompt in candidates if prompt in full]


def _compare_ids(sides: Mapping[Name, Side], prompts: list[str]) -> int:
    """The engines must be given the same ids; how many prompts were compared."""
    told = [ids for side in sides.values() if (ids := side.ids(prompts)) is not None]
    if any(ids != told[0] for ids in told):
        raise UnequalError("the engines are given different ids for the same prompts")
    return len(prompts) if len(told) > 1 else 0


def _run(sides: Mapping[Name, Side], name: Name, load: Load, series: Series) -> Outcome:
    """One side answers while the others are idle."""
    parts = {owner: side.processes() for owner, side in sides.items()}
    everybody = {pid for found in parts.values() for pids in found.values() for pid in pids}
    own = {pid for pids in parts[name].values() for pid in pids}
    before = _Clocks.read(everybody)
    outcome = sides[name].run(load)
    passed = _Clocks.read(everybody).since(before)
    series.add(
        outcome,
        front_cpu=outcome.driver_cpu if sides[name].drives_itself else passed.of(parts[name]["front"]),
        engine_cpu=passed.of(parts[name]["engine"]),
        idle_share=passed.of(everybody - own) / passed.wall,
        others_share=max(0.0, passed.busy - passed.of(everybody)) / passed.wall / (os.cpu_count() or 1),
    )
    return outcome


@dataclass(frozen=True)
class _Clocks:
    """Seconds: of the wall, of all cores being busy, of the CPU for each process."""

    wall: float
    busy: float
    cpu: dict[int, float]

    @staticmethod
    def read(pids: Iterable[int]) -> _Clocks:
        return _Clocks(time.monotonic(), machine.busy_seconds(), {pid: machine.cpu_seconds(pid) for pid in pids})

    def since(self, earlier: _Clocks) -> _Clocks:
        cpu = {pid: seconds - earlier.cpu[pid] for pid, seconds in self.cpu.items()}
        return _Clocks(self.wall - earlier.wall, self.busy - earlier.busy, cpu)

    def of(self, pids: Iterable[int]) -> float:
        """CPU of some of them."""
        return sum(self.cpu[pid] for pid in pids)


def _compare(outcomes: Mapping[Name, Outcome]) -> int:
    """All sides must have done the same work: ids in, ids out. How many answers were the same text, too."""
    work = {
        name: [(sample.prompt_tokens, sample.output_tokens) for sample in outcome.samples]
        for name, outcome in outcomes.items()
    }
    first, *others = work.values()
    if any(other != first for other in others) or any(tokens != MAX_TOKENS for _, tokens in first):
        raise UnequalError(f"prompt and output tokens differ between the sides or from {MAX_TOKENS}: {work}")
    answers = [[sample.text for sample in outcome.samples] for outcome in outcomes.values()]
    return sum(len(set(texts)) == 1 for texts in zip(*answers, strict=True))


def _speeds(series: Mapping[Name, Series]) -> str:
    return ", ".join(f"{name} {found.tokens_per_second[-1]:.0f} tokens/s" for name, found in series.items())


_started = time.monotonic()


def _tell(text: str) -> None:
    sys.stderr.write(f"[{time.monotonic() - _started:6.1f} s] {text}\n")
