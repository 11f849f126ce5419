"""What happened to a request, step by step, for whoever has to explain it (docs/decisions/0011-traces.md).

Facts are numbers and the gateway's own words: never a key, nor anything that a caller or the model wrote. Without a
reader there is `NO_TRAIL`, which keeps nothing; where a fact has to be made up first, ask `on` before.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Fact = str | int | float | bool

MOST_STEPS = 200
"""Steps that a trail keeps, beside a few that come once. A call that waits for tokens looks again and again."""

LONGEST_FACT = 300
"""Characters of a fact."""

_LARGEST = 2**63 - 1  # what OTLP and most readers of JSON can hold


class Step:
    """A part of a request. As a context it ends with its block, and tells how that failed.

    Attributes:
        name: one of a few.
        began: monotonic seconds.
        ended: the same; None while it lasts.
        facts: what was found and decided; `decision` is a sentence, or the beginning of one.
        error: the class of the failure that ended it.
        inside: its own steps.
    """

    __slots__ = ("_trail", "began", "ended", "error", "facts", "inside", "name")

    def __init__(self, trail: Trail, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.ended: float | None = None
        self.facts: dict[str, Fact] = {}
        self.error: str | None = None
        self.inside: list[Step] = []
        self._trail = trail

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)

    def note(self, **facts: Fact | None) -> None:
        """Keep facts; None and numbers that not everybody can read say nothing."""
        for name, fact in facts.items():
            if isinstance(fact, str):
                self.facts[name] = fact[:LONGEST_FACT]
            elif fact is not None and (math.isfinite(fact) if isinstance(fact, float) else abs(fact) <= _LARGEST):
                self.facts[name] = fact

    def end(self, error: BaseException | None = None) -> None:
        """It is over; a second time changes nothing."""
        if self.ended is not None:
            return
        self.ended = self._trail.now()
        self._trail.close(self)
        if error is not None:
            self.error = type(error).__name__
        if isinstance(error, GatewayError):
            # Its message may name what a caller made up, but where a limit refused: then it is all ours.
            decision = None if error.limit is None else error.message
            self.note(decision=decision, limit=error.limit, retry_after=error.retry_after, detail=error.detail)


class Trail:
    """The steps of one request. Its own thread makes them; `add` may be called from any.

    Args:
        clock: monotonic seconds.

    Attributes:
        on: whether somebody will read it.
        root: the request itself.
        unix_nanoseconds: the time of day when it began.
        left_out: how many steps were too many.
    """

    on = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self.unix_nanoseconds = time.time_ns()
        self.root = Step(self, "request", clock())
        self.left_out = 0
        self._open = [self.root]
        self._kept = 0

    def step(self, name: str) -> Step:
        """A step that begins now, inside the one that was begun last and has not ended."""
        step = Step(self, name, self.now())
        self._keep(step, self._open[-1])
        self._open.append(step)
        return step

    def hold(self, began: float, ended: float) -> None:
        """The call stood still in the engine, for tokens that others had reserved. It is in the step that lasts."""
        step = Step(self, "waiting for tokens", began)
        step.ended = ended
        self._keep(step, self._open[-1])

    def add(self, name: str, began: float, ended: float, inside: Step | None = None, **facts: Fact | None) -> None:
        """A step that is over, and comes once; without `inside` it is the request's own."""
        step = Step(self, name, began)
        step.ended = max(began, ended)
        step.note(**facts)
        (inside or self.root).inside.append(step)

    def note(self, **facts: Fact | None) -> None:
        """Keep facts of the step that was begun last and has not ended."""
        self._open[-1].note(**facts)

    def close(self, step: Step) -> None:
        """The step has ended, and with it those inside that have not."""
        if step in self._open:
            at = self._open.index(step)
            for one in reversed(self._open[at + 1 :]):
                one.ended = one.ended or self.now()
            del self._open[max(1, at) :]

    def steps(self) -> Iterator[tuple[Step, Step]]:
        """Each step, and the one that it is inside of, which comes before; else in the order in which they began."""
        waiting = [self.root]
        outer: dict[int, Step] = {}
        while waiting:
            step = waiting.pop()
            if step is not self.root:
                yield outer[id(step)], step
            inside = sorted(step.inside, key=lambda one: one.began, reverse=True)
            outer.update((id(one), step) for one in inside)
            waiting += inside

    def unix(self, at: float) -> int:
        """Unix nanoseconds of a moment on the trail's clock."""
        return self.unix_nanoseconds + round((at - self.root.began) * 1e9)

    def _keep(self, step: Step, inside: Step) -> None:
        if self._kept < MOST_STEPS:
            self._kept += 1
            inside.inside.append(step)
        else:
            self.left_out += 1


class _NoStep(Step):
    """A step of nobody's."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def note(self, **facts: Fact | None) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass


class _NoTrail(Trail):
    """The trail of a request that nobody traces: one for all of them."""

    on = False

    def step(self, name: str) -> Step:
        del name
        return NO_STEP

    def add(self, name: str, began: float, ended: float, inside: Step | None = None, **facts: Fact | None) -> None:
        pass

    def hold(self, began: float, ended: float) -> None:
        pass

    def note(self, **facts: Fact | None) -> None:
        pass


NO_TRAIL: Trail = _NoTrail()
NO_STEP: Step = _NoStep(NO_TRAIL, "none", 0.0)
