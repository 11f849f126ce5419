"""What both sides are given and what both give back, also as JSON for the way between two processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TOKENS = 64


@dataclass(frozen=True)
class Cell:
    """One kind of load: so many requests at a time, streamed or whole."""

    level: int
    stream: bool

    def __str__(self) -> str:
        return f"{self.level} at a time, {'streamed' if self.stream else 'whole'}"


@dataclass(frozen=True)
class Load:
    """Prompts to be answered greedily, `level` at a time, each in its turn.

    Attributes:
        spread: seconds over which the callers begin; all at once without it.
    """

    level: int
    stream: bool
    prompts: list[str]
    max_tokens: int = MAX_TOKENS
    spread: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        first: seconds to its first text or token; None where it came as a whole.
        total: seconds to its last byte or token.
        sent: when it was asked for, in seconds of the system's monotonic clock.
    """

    first: float | None
    total: float
    prompt_tokens: int
    output_tokens: int
    text: str
    sent: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a load.

    Attributes:
        seconds: from the first request to the last answer.
        driver_cpu: CPU seconds of the process that drove it, in that time.
        samples: in the order of the prompts.
    """

    seconds: float
    driver_cpu: float
    samples: list[Sample]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(found: dict[str, Any]) -> Outcome:
        """The opposite of `to_json`."""
        return Outcome(found["seconds"], found["driver_cpu"], [Sample(**sample) for sample in found["samples"]])

    @property
    def output_tokens(self) -> int:
        """Of all answers."""
        return sum(sample.output_tokens for sample in self.samples)

    @property
    def tokens_per_second(self) -> float:
        """Output tokens a second while all callers were at work, see `_rate`."""
        return self._rate([sample.output_tokens for sample in self.samples])

    @property
    def requests_per_second(self) -> float:
        """Answers a second while all callers were at work, see `_rate`."""
        return self._rate([1] * len(self.samples))

    def _rate(self, amounts: Sequence[int]) -> float:
        """So much of each sample a second, until the last prompt was sent; of the answers under way then, their share.

        From then on callers have nothing to do one by one, and the engine runs empty. With a few answers each, that is
        up to 3% of the time where answers end at different moments, and none where all of them end together: it says
        how the callers are spread, and nothing of a side.
        """
        began = min(sample.sent for sample in self.samples)
        ended = max(sample.sent for sample in self.samples)
        done = [min(1.0, (ended - sample.sent) / sample.total) for sample in self.samples]
        return sum(amount * part for amount, part in zip(amounts, done, strict=True)) / (ended - began)


def counting_prompts(number: int) -> list[str]:
    """Different prompts whose answers are long: the demo model has learnt to count to 300."""
    frames = ("Count from 1 to {last}", "List the numbers from 1 to {last}", "Write the numbers from 1 to {last}")
    found = [frame.format(last=last) for frame in frames for last in range(100, 301)]
    return found[:number]
