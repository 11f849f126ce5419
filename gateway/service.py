"""One way in for a request: `Gateway.generate` admits it, runs it in the engine, accounts for it. Read this first."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.engine import Cancelled, Chunk, Delta, Finish, Message, Model, Sampling
from gateway.errors import DeadlineExceededError, InvalidRequestError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.engine import Engine, Event, Generation, OpenAIRequest
    from gateway.subscriptions import Caller


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """What a caller asks for, in no dialect.

    Attributes:
        messages: the conversation that the model is to go on with.
        sampling: how to choose tokens.
        model: which served model; None for the default.
        stream: whether the caller reads along.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    model: str | None = None
    stream: bool = False


@dataclass(slots=True)
class Usage:
    """Real token ids: those given to the engine and those it produced."""

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


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


class Gateway:
    """The product, without a protocol.

    Args:
        engine: what makes the answers.
        request_timeout: seconds after which a request is taken out of the engine.
        clock: monotonic seconds.
    """

    def __init__(self, engine: Engine, request_timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._request_timeout = request_timeout
        self._clock = clock

    @property
    def engine(self) -> Engine:
        """What makes the answers: asked for its status and its models."""
        return self._engine

    def generate(self, caller: Caller, request: GenerateRequest) -> Answer:
        """Admit a request and begin to answer it.

        Raises:
            InvalidRequestError: the prompt is longer than the context, or the engine cannot do what is asked.
            NotFoundError: no such model.
            UnavailableError: the engine is not ready.
        """
        del caller  # its product's limits are enforced here, once they are
        started = self._clock()
        model = self._model_to_answer(request.model)
        prompt_ids = self._engine.encode(request.messages)
        sampling = _cut_to_context(request.sampling, len(prompt_ids), model)
        generation = self._engine.generate(prompt_ids, sampling, stream=request.stream)
        return Answer(generation, model, len(prompt_ids), Stopwatch(started, self._request_timeout, self._clock))

    def complete(self, caller: Caller, request: OpenAIRequest) -> Answer:
        """Admit a request of OpenAI's API and begin to answer it, in `Chunk`s.

        Raises:
            InvalidRequestError: the body is at fault, or the engine cannot do what is asked.
            NotFoundError: no such model.
            UnavailableError: the engine is not ready.
            DeadlineExceededError: the request's time was over before it was understood.
        """
        del caller  # as above
        stopwatch = Stopwatch(self._clock(), self._request_timeout, self._clock)
        model = self._model_to_answer(request.model)
        try:
            prepared = self._engine.prepare(request, self._request_timeout)
        except TimeoutError:
            raise _too_late(stopwatch) from None
        return Answer(prepared.start(), model, prepared.prompt_tokens, stopwatch)

    def models(self) -> Sequence[Model]:
        """What requests may name, the default first.

        Raises:
            UnavailableError: the engine is not ready.
        """
        models = self._engine.models()
        if not models:
            status = self._engine.status()
            raise UnavailableError(
                f"The model is not ready: it is {status.phase}, step {status.step} of {status.steps}. "
                "Try again after the time in Retry-After.",
                retry_after=status.retry_after,
            )
        return models

    def model(self, name: str | None) -> Model:
        """The model of this name; without one the default.

        Raises:
            NotFoundError: no such model.
            UnavailableError: the engine is not ready.
        """
        models = self.models()
        if name is None:
            return models[0]
        for model in models:
            if model.name == name:
                return model
        served = ", ".join(model.name for model in models)
        raise NotFoundError(f"Field `model` names no model that is served here. Served are: {served}.", param="model")

    def _model_to_answer(self, name: str | None) -> Model:
        """The same; an answer shows its first name, whichever of its names a request used."""
        model, first = self.model(name), self.models()[0]
        return first if model.root == first.root else model


class Answer:
    """An answer in the making: iterate it once to its end, or close it; either way its usage is settled.

    Attributes:
        model: the model that answers.
        usage: what it has cost so far, and exactly when the iteration is over or closed.
        finish: how it ended, once it has.
        first_token_seconds: from admission to the first token, once that was read.
    """

    def __init__(self, generation: Generation, model: Model, prompt_tokens: int, stopwatch: Stopwatch) -> None:
        self.model = model
        self.usage = Usage(prompt_tokens)
        self.finish: Finish | None = None
        self.first_token_seconds: float | None = None
        self._generation = generation
        self._stopwatch = stopwatch
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
                yield self._next()
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
            event = self._generation.next(left) if left > 0 else None
        except TimeoutError:
            event = None
        except Cancelled as cancelled:
            self._settle(cancelled.completion_tokens)
            raise
        except Exception:
            self._over = True
            raise
        if event is None:
            self.close()
            raise _too_late(self._stopwatch)
        self._account(event)
        return event

    def _account(self, event: Event) -> None:
        if isinstance(event, Finish):
            self.finish = event
            self.usage.cached_tokens = event.cached_tokens
            self._settle(event.completion_tokens)
        else:
            self.usage.completion_tokens += event.tokens
            if self.first_token_seconds is None:
                self.first_token_seconds = self._stopwatch.elapsed(event.first_token_at)

    def _drain(self) -> None:
        while not self._over:
            try:
                self._account(self._generation.next(None))
            except Cancelled as cancelled:
                self._settle(cancelled.completion_tokens)
            except Exception:  # noqa: BLE001 - the answer is given up: how it would have failed is of no use to anyone
                self._over = True

    def _settle(self, completion_tokens: int) -> None:
        self.usage.completion_tokens = completion_tokens
        self._over = True


def _too_late(stopwatch: Stopwatch) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"The request took longer than the {stopwatch.timeout:g} seconds that it may take. "
        "Ask for fewer tokens with `max_tokens`, or stream the answer.",
    )


def _cut_to_context(sampling: Sampling, prompt_tokens: int, model: Model) -> Sampling:
    left = model.context_length - prompt_tokens
    if left < 1:
        raise InvalidRequestError(
            f"The prompt is {prompt_tokens} tokens long, and the model's context of {model.context_length} tokens "
            "has to hold it and the answer. Shorten `prompt`.",
            param="prompt",
        )
    wanted = sampling.max_tokens
    return replace(sampling, max_tokens=left if wanted is None else min(wanted, left))


__all__ = ["Answer", "Chunk", "Delta", "Gateway", "GenerateRequest", "Usage"]
