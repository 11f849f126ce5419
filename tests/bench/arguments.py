"""What can be asked of the benchmark."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.exchange import Operation


SIDES = {
    "a": "vLLM's AsyncLLM driven directly",
    "b": "vLLM's own server (vllm serve)",
    "c": "the gateway",
    "d": "LiteLLM's proxy in front of b; installs it",
    "e": "the gateway's front end by itself, without a model",
}


_DEFAULT = "abce"
_OUTPUT = ROOT / "var" / "bench.md"

# Answers that each caller gets in a cell, one after the other: fewest and, unless something else is asked for, how
# many. All callers begin at the same moment: with few answers each, that would be much of a cell.
_FEWEST, _EACH = 4, 15
_LEAST, _MOST = 8, 1024  # of all of them together

OPERATIONS: tuple[Operation, ...] = ("get-data", "chat")


@dataclass(frozen=True)
class Arguments:
    """One run.

    Attributes:
        sides: letters of `SIDES`, in their order.
        operations: what the gateway is asked for; the servers that have no Get Data get chat completions.
        rounds: how often each side runs each cell.
        loadings: how often all sides are loaded for them, in one order and then in the other.
        starts: how often each side is started.
        levels: how many requests at a time.
        each: answers of a cell for each of them, one after the other.
        workers: how many workers the front end by itself is measured with.
        quick: fewer requests in a cell.
        output: where the report is written besides standard output; its plot lies beside it.
    """

    sides: str
    operations: tuple[Operation, ...]
    rounds: int
    loadings: int
    starts: int
    levels: tuple[int, ...]
    each: int
    workers: tuple[int, ...]
    quick: bool
    output: Path

    @property
    def plot(self) -> Path:
        """Where the plot is written."""
        return self.output.with_suffix(".svg")

    @property
    def prompts(self) -> int:
        """How many different prompts there are."""
        return 64 if self.quick else 192

    def requests(self, level: int) -> int:
        """How many requests each side answers in a cell."""
        return max(4, 2 * level) if self.quick else max(_LEAST, min(self.each * level, _MOST))


def parse(argv: Sequence[str]) -> Arguments:
    """The command line; exits with a message where it is at fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the gateway beside vLLM driven directly, vLLM's own server and LiteLLM, in alternating "
        "rounds. GATEWAY_MODEL, GATEWAY_ENGINE_ARGS and the other variables of the gateway hold for all.",
    )
    sides = "; ".join(f"{letter}: {side}" for letter, side in SIDES.items())
    parser.add_argument(
        "--sides",
        type=_sides,
        default=tuple(_DEFAULT),
        help=f"which, comma-separated (default {','.join(_DEFAULT)}). {sides}",
    )
    parser.add_argument(
        "--operations",
        type=_operations,
        default=OPERATIONS,
        help=f"of the gateway, comma-separated (default {','.join(OPERATIONS)})",
    )
    parser.add_argument("--rounds", type=_count, help="rounds of all cells (default 8; claims need 6)")
    parser.add_argument(
        "--loadings", type=_count, help="of all sides, for these rounds (default 2, and 1 with --quick)"
    )
    parser.add_argument("--starts", type=_count_or_none, help="start-ups of each side (default 3; 0 for none)")
    parser.add_argument(
        "--levels",
        type=_counts,
        default=(1, 16, 64, 256),
        help="requests at a time, comma-separated (default 1,16,64,256)",
    )
    parser.add_argument(
        "--each",
        type=_each,
        default=_EACH,
        help=f"answers in a cell for each of these (default {_EACH}); fewer of them in more rounds have closer pairs",
    )
    parser.add_argument(
        "--workers", type=_counts, default=(1, 2, 4), help="of the front end by itself, comma-separated (default 1,2,4)"
    )
    parser.add_argument("--quick", action="store_true", help="does it run? 2 short rounds and 1 start-up")
    parser.add_argument(
        "--output", type=Path, default=_OUTPUT, help="the report's file, with an .svg beside it (default var/bench.md)"
    )
    found = parser.parse_args(argv)
    rounds = found.rounds or (2 if found.quick else 8)
    return Arguments(
        sides="".join(letter for letter in SIDES if letter in found.sides),
        operations=found.operations,
        rounds=rounds,
        loadings=min(found.loadings or (1 if found.quick else 2), rounds),
        starts=(1 if found.quick else 3) if found.starts is None else found.starts,
        levels=found.levels,
        each=found.each,
        workers=found.workers,
        quick=found.quick,
        output=found.output,
    )


def _count_or_none(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("should not be negative")
    return value


def _count(text: str) -> int:
    value = _count_or_none(text)
    if value == 0:
        raise argparse.ArgumentTypeError("should be at least 1")
    return value


def _each(text: str) -> int:
    value = _count(text)
    if value < _FEWEST:
        raise argparse.ArgumentTypeError(f"should be at least {_FEWEST}: else most of a cell is its beginning")
    return value


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _operations(text: str) -> tuple[Operation, ...]:
    chosen = text.split(",")
    if not set(chosen) <= set(OPERATIONS):
        raise argparse.ArgumentTypeError(f"should be some of {','.join(OPERATIONS)}")
    return tuple(operation for operation in OPERATIONS if operation in chosen)


def _sides(text: str) -> tuple[str, ...]:
    letters = tuple(text.split(","))
    if not set(letters) <= set(SIDES):
        raise argparse.ArgumentTypeError(f"should be some of {','.join(SIDES)}")
    if "d" in letters and "b" not in letters:
        raise argparse.ArgumentTypeError("d needs b, which it stands in front of")
    return letters
