"""An answer on its way from the engine: events as they come, its deadline, and its exact usage however it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.engine import Cancelled, Finish
from gateway.errors import DeadlineExceededError, UnavailableError
from gateway.trail import NO_STEP, NO_TRAIL
from gateway.turn import Urgency, turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.engine import Event, Generation, Model, Passing
    from gateway.ledger import Usage
    from gateway.trail import Step, Trail


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """A request's time: when it began, how long it may take. All in seconds of a monotonic clock."""

    started: float
    timeout: float
    clock: Callable[[], float]

    def elapsed(self, at: float | None = None) -> float:
        """Since the request began, until now or until another time."""
        return (self.clock() if at is None else at) - self.started

    def left(self) -> float:
        """Until its deadline; negative after it."""
        return self.timeout - self.elapsed()


class Answer:
    """An answer in the making: iterate it once to its end, or close it; either way its usage is settled.

    Args:
        generation: what the engine gives.
        model: as the attribute.
        usage: as the attribute.
        stopwatch: the request's.
        record: what it leaves in the request's trail.
        stream: whether the caller reads along.

    Attributes:
        model: the model that answers.
        usage: what it has cost so far, and exactly when the iteration is over or closed.
        finish: how it ended, once it has.
        passing: takes what comes while the iteration waits for it, in another thread, and has passed it on then; what
            it does not take is iterated over. It is never called with a Finish.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        generation: Generation,
        model: Model,
        usage: Usage,
        stopwatch: Stopwatch,
        record: Record | None = None,
        *,
        stream: bool = False,
    ) -> None:
        self.model = model
        self.usage = usage
        self.finish: Finish | None = None
        self.passing: Passing | None = None
        self._generation = generation
        self._stopwatch = stopwatch
        self._record = record or Record(NO_TRAIL, NO_STEP)
        self._stream = stream
        self._over = False

    def __iter__(self) -> Iterator[Event]:
        """Deltas (or chunks) as they come, then one Finish.

        Raises:
            DeadlineExceededError: the request's time is over; the engine has let go of it.
            Cancelled: `cancel` was called.
            UnavailableError: the engine died.
        """
        try:
            while not self._over:
                event = self._next()
                yield event
                # The reader is back for more: it has passed this on.
                if not isinstance(event, Finish):
                    self.usage.delivered_tokens += event.tokens
        finally:
            self.close()

    def cancel(self) -> None:
        """Take the request out of the engine; the iteration ends with `Cancelled`. From any thread, at any time."""
        self._generation.cancel()

    def close(self) -> None:
        """Give up what is left of the answer. Returns when the engine has let go and the usage is exact."""
        if not self._over:
            self._generation.cancel()
            self._drain()

    def _next(self) -> Event:
        left = self._stopwatch.left()
        try:
            with turn.away(then=Urgency.ANSWER):
                event = self._generation.next(left, self.passing and self._pass) if left > 0 else None
        except TimeoutError:
            event = None
        except Cancelled as cancelled:
            self._settle(cancelled.completion_tokens, cancelled)
            raise
        except UnavailableError as error:
            self._lose(error)
            raise
        except Exception as error:
            self._end(error)
            raise
        if event is None:
            self.close()
            raise too_late(self._stopwatch, stream=self._stream)
        self._account(event)
        return event

    def _pass(self, event: Event) -> bool:
        """In the courier's thread, while the iteration waits."""
        if isinstance(event, Finish) or self.passing is None or not self.passing(event):
            return False
        self._account(event)
        self.usage.delivered_tokens += event.tokens
        return True

    def _account(self, event: Event) -> None:
        if isinstance(event, Finish):
            self.finish = event
            self.usage.finish_reason = event.reason
            self.usage.cached_tokens = event.cached_tokens
            self.usage.finish_seconds = self._stopwatch.elapsed()
            self._settle(event.completion_tokens)
        else:
            self.usage.completion_tokens += event.tokens
            if self.usage.first_token_seconds is None:
                self.usage.first_token_seconds = self._stopwatch.elapsed(event.first_token_at)

    def _drain(self) -> None:
        while not self._over:
            try:
                with turn.away():
                    event = self._generation.next(None)
                self._account(event)
            except Cancelled as cancelled:
                self._settle(cancelled.completion_tokens, cancelled)
            except UnavailableError as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001 - it is given up: how it would have failed is of no use to anyone
                self._end(error)

    def _lose(self, error: UnavailableError) -> None:
        """The engine is gone. Of a whole answer nothing has been told yet, whatever it has produced."""
        produced = sum(one.produced for one in self._generation.standings())
        self._settle(max(self.usage.completion_tokens, produced), error)

    def _settle(self, completion_tokens: int, error: Exception | None = None) -> None:
        self.usage.completion_tokens = completion_tokens
        self._end(error)

    def _end(self, error: Exception | None = None) -> None:
        self._over = True
        self._record.end(self._generation, self.usage, error)


class Record:
    """What an answer leaves in the trail of its request: the step in the engine, and the engine's own."""

    def __init__(self, trail: Trail, step: Step) -> None:
        self._trail = trail
        self._step = step

    def end(self, generation: Generation, usage: Usage, error: Exception | None) -> None:
        """The engine has let go of it; with an exception where it did not come to its end."""
        if not self._trail.on:
            return
        step = self._step
        step.end(error)
        step.note(
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            finish_reason=usage.finish_reason,
        )
        timings = generation.timings()
        if timings is None or timings.queued is None or step.ended is None:
            return
        points = (timings.queued, timings.scheduled, timings.first_token, timings.last_token)
        # Whatever the clocks say, a part is not outside of the whole.
        times = [None if at is None else min(max(at, step.began), step.ended) for at in points]
        for name, began, ended in zip(("queue", "prefill", "decode"), times, times[1:], strict=False):
            if began is not None:
                # Where it never came to the next part, it was in this one until it was taken out.
                self._trail.add(name, began, step.ended if ended is None else ended, step)


def too_late(stopwatch: Stopwatch, *, stream: bool) -> DeadlineExceededError:
    """What ends a request whose time is over.

    Args:
        stopwatch: the request's.
        stream: whether its caller reads along.
    """
    return DeadlineExceededError(
        f"The request took longer than the {stopwatch.timeout:g} seconds that it may take. "
        f"Ask for fewer tokens with `max_tokens`{'' if stream else ', or stream the answer'}.",
    )
