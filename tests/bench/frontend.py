"""What the gateway costs by itself: the real gunicorn, app, limits, ledger, metrics and log, over no model.

The same program with several numbers of workers, in turn. Figures are for a CPU second of the worker processes, which
a busy machine and a slow load client change much less than requests for each second of the clock.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.settings import ROOT
from tests.bench import figures, machine
from tests.bench.caller import PEPPER, database_in, make_key
from tests.bench.child import Child
from tests.bench.exchange import Target
from tests.bench.load import MAX_TOKENS, Load, Outcome
from tests.bench.paced import AT_ONCE, PACED, READY, STEP_VARIABLE, THREAD, Times
from tests.bench.sides import gateway_environment
from tests.server import START_SECONDS, STOP_SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.arguments import Arguments

STEP_SECONDS = 0.004
"""Between two ids of an answer: 256 answers at a time are then 64,000 ids a second."""

LONG = 512
_FEW, _MANY = 200, 1000
_BUSY_LEVEL = 64
"""From so many at a time on, a second worker may have something to do."""


@dataclass(frozen=True)
class Kind:
    """How answers come.

    Attributes:
        stream: whether the caller reads along.
        paced: an id at each step of the engine's clock; else all are there at once.
        tokens: ids of an answer.
    """

    stream: bool
    paced: bool
    tokens: int = MAX_TOKENS

    def __str__(self) -> str:
        how = f"an id every {1000 * STEP_SECONDS:g} ms" if self.paced else "all ids at once"
        return f"{'streamed' if self.stream else 'whole'}, {self.tokens} ids, {how}"


KINDS = (
    Kind(stream=False, paced=False),
    Kind(stream=True, paced=True),
    Kind(stream=True, paced=True, tokens=LONG),
    Kind(stream=True, paced=False),
    Kind(stream=False, paced=True),
)


@dataclass(frozen=True)
class Cell:
    """One load for one number of workers."""

    workers: int
    kind: Kind
    level: int

    def requests(self, *, quick: bool) -> int:
        """How many are made."""
        if self.kind.paced:
            turns = 1 if quick or self.kind.tokens == LONG else 4
            return max(2 if quick else 8 * MAX_TOKENS // self.kind.tokens, turns * self.level)
        return (_FEW if self.level == 1 else _MANY) // (4 if quick else 1)

    def load(self, *, quick: bool) -> Load:
        """What the callers are given."""
        word = PACED if self.kind.paced else AT_ONCE
        prompts = [f"{word}: request {number}" for number in range(self.requests(quick=quick))]
        # Callers that begin together would stay together, since all answers take equally long.
        spread = self.kind.tokens * STEP_SECONDS if self.kind.paced else 0.0
        return Load(self.level, self.kind.stream, prompts, self.kind.tokens, spread)


@dataclass
class Series:
    """The figures of a cell, a value for each round. Times in seconds."""

    requests_per_second: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    requests_per_core: list[float] = field(default_factory=list)  # for a CPU second of the workers, as the next
    tokens_per_core: list[float] = field(default_factory=list)
    first_p50: list[float] = field(default_factory=list)  # added to what the engine took, as the next
    first_p99: list[float] = field(default_factory=list)
    total_p50: list[float] = field(default_factory=list)
    total_p99: list[float] = field(default_factory=list)
    engine_share: list[float] = field(default_factory=list)  # of the workers' CPU: the clock of the engine in them
    busy: list[float] = field(default_factory=list)  # cores that the workers had
    driver_share: list[float] = field(default_factory=list)  # of one core
    others_share: list[float] = field(default_factory=list)  # of the machine, by processes that are not ours

    def add(self, outcome: Outcome, *, front_cpu: float, engine_cpu: float, others_share: float) -> None:
        """Take down a round; CPU in seconds."""
        self.requests_per_second.append(len(outcome.samples) / outcome.seconds)
        self.tokens_per_second.append(outcome.output_tokens / outcome.seconds)
        self.requests_per_core.append(len(outcome.samples) / front_cpu)
        self.tokens_per_core.append(outcome.output_tokens / front_cpu)
        firsts, totals = added(outcome)
        self.total_p50.append(figures.percentile(totals, 0.5))
        self.total_p99.append(figures.percentile(totals, 0.99))
        if firsts:
            self.first_p50.append(figures.percentile(firsts, 0.5))
            self.first_p99.append(figures.percentile(firsts, 0.99))
        self.engine_share.append(engine_cpu / front_cpu)
        self.busy.append(front_cpu / outcome.seconds)
        self.driver_share.append(outcome.driver_cpu / outcome.seconds)
        self.others_share.append(others_share)

    def extend(self, later: Series) -> None:
        """Append another series."""
        for figure in fields(self):
            getattr(self, figure.name).extend(getattr(later, figure.name))


@dataclass
class FrontResult:
    """All rounds.

    Attributes:
        memory: resident and proportional MiB of the workers, by their number, at the end.
    """

    rounds: int
    series: dict[Cell, Series]
    memory: dict[int, tuple[float, float]]


class UnequalWorkError(Exception):
    """An answer was not what the engine without a model gives."""


def added(outcome: Outcome) -> tuple[list[float], list[float]]:
    """The seconds that the gateway adds to first texts (of what is streamed), and to whole answers.

    From the caller's request until the engine was asked, and from when an id was due until the caller had it.
    """
    firsts, totals = [], []
    for sample in outcome.samples:
        times = Times.of(sample.text)
        before = times.asked - sample.sent
        totals.append(before + sample.sent + sample.total - times.last)
        if sample.first is not None:
            firsts.append(before + sample.sent + sample.first - times.first)
    return firsts, totals


class FrontEnd:
    """A gateway over an engine without a model."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str) -> None:
        self.process = process
        self.port = port
        self.key = key

    def workers(self) -> list[int]:
        """Its worker processes."""
        return machine.children(self.process.pid)


def measure(arguments: Arguments) -> FrontResult:
    """All rounds of all cells, or the whole ones until Ctrl-C or SIGTERM."""
    workers, quick, rounds = arguments.workers, arguments.quick, arguments.rounds
    cells = [
        Cell(number, kind, level)
        for kind in KINDS
        for level in arguments.levels
        for number in workers
        if number == min(workers) or level >= _BUSY_LEVEL
    ]
    whole: list[dict[Cell, Series]] = []
    with ExitStack() as stack:
        sides = {
            number: stack.enter_context(running(Path(stack.enter_context(tempfile.TemporaryDirectory())), number))
            for number in workers
        }
        client = stack.enter_context(Child("tests.bench.client", _environment()))
        try:
            for side in sides.values():
                _ask(client, side, Cell(1, KINDS[0], _BUSY_LEVEL).load(quick=quick))  # warms up
            while len(whole) < rounds:
                # Numbers of workers that are compared take turns at coming first.
                order = cells if len(whole) % 2 == 0 else sorted(cells, key=_backwards)
                whole.append({cell: _run(client, sides, cell, quick=quick) for cell in order})
                _tell(f"round {len(whole)} of {rounds} of the front end")
        except KeyboardInterrupt:
            if not whole:
                raise
            _tell("broken off: the report has the whole rounds so far")
        memory = {number: machine.memory_mib(*side.workers()) for number, side in sides.items()}
    result = FrontResult(len(whole), {cell: Series() for cell in cells}, memory)
    for one in whole:
        for cell, series in one.items():
            result.series[cell].extend(series)
    return result


def _backwards(cell: Cell) -> tuple[int, int, int]:
    return KINDS.index(cell.kind), cell.level, -cell.workers


def _run(client: Child, sides: Mapping[int, FrontEnd], cell: Cell, *, quick: bool) -> Series:
    pids = sides[cell.workers].workers()
    ours = [client.process.pid, os.getpid(), *(pid for side in sides.values() for pid in side.workers())]
    before = _Clocks.read(pids, ours)
    outcome = _ask(client, sides[cell.workers], cell.load(quick=quick))
    passed = _Clocks.read(pids, ours).since(before)
    if any(sample.output_tokens != cell.kind.tokens for sample in outcome.samples):
        raise UnequalWorkError(f"answers of another length than {cell.kind.tokens} ids")
    series = Series()
    series.add(
        outcome,
        front_cpu=passed.front,
        engine_cpu=passed.engine,
        others_share=max(0.0, passed.busy - passed.ours) / passed.wall / (os.cpu_count() or 1),
    )
    _tell(
        f"{cell.workers} workers, {cell.kind}, {cell.level} at a time: {series.requests_per_second[0]:.0f} requests/s"
    )
    return series


def _ask(client: Child, side: FrontEnd, load: Load) -> Outcome:
    return Outcome.from_json(client.ask({"target": Target(side.port, side.key).to_json(), "load": load.to_json()}))


@dataclass(frozen=True)
class _Clocks:
    """Seconds: of the wall, of all cores being busy, of the CPU for workers, for their engines, for all of ours."""

    wall: float
    busy: float
    front: float
    engine: float
    ours: float

    @staticmethod
    def read(workers: Sequence[int], ours: Sequence[int]) -> _Clocks:
        front, engine = machine.cpu_seconds(*workers), machine.thread_cpu_seconds(THREAD, *workers)
        return _Clocks(time.monotonic(), machine.busy_seconds(), front, engine, machine.cpu_seconds(*ours))

    def since(self, earlier: _Clocks) -> _Clocks:
        return _Clocks(*(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(self)))


@contextmanager
def running(folder: Path, workers: int) -> Iterator[FrontEnd]:
    """A gateway whose engine has no model, with a key of a product that has every limit; it is gone afterwards."""
    key = make_key(folder)
    environment = _environment() | {
        "PORT": "0",
        "GATEWAY_WORKERS": str(workers),
        "GATEWAY_DATABASE_URL": database_in(folder),
        "GATEWAY_KEY_PEPPER": PEPPER,
        "GATEWAY_DEV_KEY": secrets.token_hex(16),
        "TMPDIR": str(folder),
        STEP_VARIABLE: str(STEP_SECONDS),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "tests/bench/paced_conf.py", "tests.bench.paced_app:app"]
    output = folder / "output"
    with output.open("wb") as written:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )

    def ready() -> bool:
        told = output.read_text(errors="replace")
        if process.poll() is not None:
            raise RuntimeError(told[-4000:])
        return told.count(READY) == workers

    try:
        wait_for(ready, "the workers of the front end", START_SECONDS)
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", output.read_text(errors="replace"))
        assert found is not None
        yield FrontEnd(process, int(found[1]), key)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The operator's, without a core for an engine that computes: there is none here."""
    others = {
        name: value
        for name, value in os.environ.items()
        if name not in {"ENGINE_CORE", "OMP_NUM_THREADS"} and not name.startswith("GATEWAY_")
    }
    return {**others, **gateway_environment(), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


_started = time.monotonic()


def _tell(text: str) -> None:
    sys.stderr.write(f"[{time.monotonic() - _started:6.1f} s] {text}\n")
