"""One way in for a request: `Gateway.generate` admits it, runs it in the engine, accounts for it. Read this first."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.answer import Answer, Record, Stopwatch, too_late
from gateway.backlog import Backlog
from gateway.engine import LONG_PROMPT, Message, Model, Sampling, Terms
from gateway.errors import InvalidRequestError, NotFoundError, PermissionDeniedError, UnavailableError
from gateway.idempotency import Idempotency
from gateway.keeper import Keeper
from gateway.leases import LeasedGeneration
from gateway.observer import Observer
from gateway.trail import NO_TRAIL
from gateway.turn import turn

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.admission import Admission
    from gateway.admissions import Admissions
    from gateway.call_limits import Window
    from gateway.engine import Engine, OpenAIRequest
    from gateway.keys import KeyHasher
    from gateway.sealing import KeptAnswer
    from gateway.subscription import Caller
    from gateway.trail import Fact, Step, Trail

# Places in the engine's queue between two priorities of products.
_TURNS = 1 << 16

# Of a request's settings, those that its trail tells: numbers. The names are OpenAI's and vLLM's.
_TOLD = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "n")


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


class Gateway:
    """The product, without a protocol.

    Args:
        engine: what makes the answers.
        admissions: holds the limits of products, and writes down what calls cost.
        hasher: makes what keeps a prefix cache from others, and what answers are sealed with.
        request_timeout: seconds after which a request is taken out of the engine.
        clock: monotonic seconds.
        longest_queue: seconds that what waits in the engine before a call may take.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        engine: Engine,
        admissions: Admissions,
        hasher: KeyHasher,
        request_timeout: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        longest_queue: float = math.inf,
    ) -> None:
        self._engine = engine
        self._admissions = admissions
        self._idempotency = Idempotency(admissions, hasher.derived("idempotency"))
        self._keeper = Keeper(admissions)
        self._backlog = Backlog(longest_queue)
        self._observer = Observer(engine, self._backlog, lambda: bool(admissions.running))
        self._cache_salt = hasher.cache_salt
        self._request_timeout = request_timeout
        self._clock = clock

    def start(self) -> None:
        """Begin to serve: the engine loads, the ledger is kept."""
        self._engine.on_lost = self._keeper.lost
        self._keeper.start()
        self._engine.start()
        self._observer.start()

    def stop(self) -> None:
        """Let go of everything; what still runs is settled."""
        self._observer.stop()
        self._engine.stop()
        self._keeper.stop()

    @property
    def engine(self) -> Engine:
        """What makes the answers: asked for its status and its models."""
        return self._engine

    def retry_after(self) -> float:
        """Seconds until the engine has worked off what waits for it: when to come back to a gateway that is full."""
        return self._backlog.seconds() or 0.0

    def call(self, caller: Caller, operation: str, trace_id: str, trail: Trail = NO_TRAIL) -> Admission:
        """The admission of a call that begins now; whoever asks for it settles it.

        Args:
            caller: whose it is.
            operation: its name for the ledger.
            trace_id: 32 hex digits, of the request.
            trail: where its steps are noted.
        """
        return self._admissions.of(caller, operation, trace_id, trail)

    def open_once(
        self, admission: Admission, key: str, request: Sequence[bytes], gone: threading.Event
    ) -> KeptAnswer | None:
        """`Admission.open`, for a call that has an Idempotency-Key.

        Args:
            admission: of the call.
            key: as the caller sent it.
            request: what makes a request the same as another.
            gone: set when the caller hangs up.

        Returns:
            The answer that the key has already; None where the call is to be made.

        Raises:
            GatewayError: as `Idempotency.open`, which has more to say.
            Cancelled: the caller hung up.
        """
        return self._idempotency.open(admission, key, request, patience=self._request_timeout, gone=gone)

    def generate(self, admission: Admission, request: GenerateRequest) -> Answer:
        """Admit a request and begin to answer it.

        Raises:
            InvalidRequestError: the prompt is longer than the context, or the engine cannot do what is asked.
            NotFoundError: no such model.
            PermissionDeniedError: the product does not have the model, or its token quota is used up.
            RateLimitedError: the product's tokens of a minute are used up.
            UnavailableError: the engine is not ready or has too much to do, or the ledger cannot be reached.
        """
        stopwatch = self._stopwatch(admission)
        trail = admission.trail
        name = self._model_for(admission, request.model)
        model = self._model_to_answer(name)
        self._check_queue(admission)
        with trail.step("chat template"):
            prompt_ids = self._encode(request.messages)
            sampling = _cut_to_context(request.sampling, len(prompt_ids), model)
            if trail.on:
                trail.note(prompt_tokens=len(prompt_ids), context=model.context_length)
        admission.admit(model, len(prompt_ids), (sampling.max_tokens or 1,))
        sampling = replace(sampling, max_tokens=admission.most)
        step = trail.step("engine")
        if trail.on:
            step.note(operation="chat", requested_model=name, model=model.name, max_tokens=sampling.max_tokens)
            step.note(stream=request.stream, **_told({name: getattr(sampling, name, None) for name in _TOLD}))
        with _leased(admission, step) as lease:
            terms = self._terms(admission, lease)
            generation = self._engine.generate(prompt_ids, sampling, terms, stream=request.stream)
        return Answer(
            lease.of(generation) if lease else generation,
            model,
            admission.usage,
            stopwatch,
            Record(trail, step),
            stream=request.stream,
        )

    def complete(self, admission: Admission, request: OpenAIRequest) -> Answer:
        """Admit a request of OpenAI's API and begin to answer it, in `Chunk`s.

        Raises:
            DeadlineExceededError: the request's time was over before it was understood.
            GatewayError: as `generate`.
        """
        stopwatch = self._stopwatch(admission)
        trail = admission.trail
        name = self._model_for(admission, request.model)
        model = self._model_to_answer(name)
        self._check_queue(admission)
        with trail.step("chat template"):
            try:
                prepared = self._engine.prepare(request.with_model(name), self._request_timeout)
            except TimeoutError:
                raise too_late(stopwatch, stream=request.stream) from None
            if trail.on:
                trail.note(prompt_tokens=prepared.prompt_tokens, context=model.context_length)
        try:
            admission.admit(model, prepared.prompt_tokens, prepared.limits)
        except BaseException:
            prepared.cancel()
            raise
        step = trail.step("engine")
        if trail.on:
            operation = "chat" if request.operation == "chat.completions" else "text_completion"
            step.note(operation=operation, requested_model=name, model=model.name, max_tokens=admission.most)
            step.note(stream=request.stream, **_told(request.body))
        with _leased(admission, step) as lease:
            generation = prepared.start(self._terms(admission, lease), admission.most)
        return Answer(
            lease.of(generation) if lease else generation,
            model,
            admission.usage,
            stopwatch,
            Record(trail, step),
            stream=request.stream,
        )

    def left(self, caller: Caller) -> Mapping[str, Window]:
        """What a caller's limits leave it now, by their names in `Limits`.

        Raises:
            UnavailableError: the ledger cannot be reached.
        """
        return self._admissions.of(caller, "", "").left()

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

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        if sum(len(message.content) for message in messages) <= LONG_PROMPT:
            return self._engine.encode(messages)
        with turn.away():
            return self._engine.encode(messages)

    def _stopwatch(self, admission: Admission) -> Stopwatch:
        return Stopwatch(self._clock() - admission.held, self._request_timeout, self._clock)

    def _model_for(self, admission: Admission, name: str | None) -> str:
        """The name of the model that a call may use: the one it named, or the first that its product has.

        Raises:
            NotFoundError: no such model.
            PermissionDeniedError: the product does not have it.
            UnavailableError: the engine is not ready.
        """
        allowed = admission.limits.models
        with admission.trail.step("model"):
            if name is None and allowed is not None:
                name = next((model.name for model in self.models() if model.name in allowed), None)
            model = self.model(name)
            if allowed is not None and model.name not in allowed:
                raise PermissionDeniedError(
                    f"Field `model` names a model that your product does not have. It has: {', '.join(allowed)}.",
                    param="model",
                    limit="model",
                )
        return model.name

    def _check_queue(self, admission: Admission) -> None:
        """Raises UnavailableError where the call would wait too long for its turn."""
        priority = self._priority(admission)
        with admission.trail.step("queue bound"):
            if admission.trail.on:
                wait = self._backlog.seconds(priority)
                known = None if wait is None else round(wait, 3)
                admission.trail.note(priority=priority, expected_seconds=known, most_seconds=self._backlog.most)
            self._backlog.check(priority)

    def _terms(self, admission: Admission, lease: LeasedGeneration | None) -> Terms:
        call = admission.call
        of_product, of_subscription = f"product {call.product_id}", f"subscription {call.account_key}"
        sharers = of_product if admission.limits.shared_cache else of_subscription
        return Terms(
            call.id,
            self._priority(admission),
            self._cache_salt(sharers),
            lease.lease() if lease else None,
            timed=admission.trail.on,
        )

    def _priority(self, admission: Admission) -> int:
        """A place in the engine's queue: by the product's priority, then in turn with other subscriptions.

        A subscription's second running call goes behind everybody's first, so many calls of one cannot starve another.
        """
        turn = min(self._admissions.running.beside(admission), _TURNS - 1)
        return (admission.limits.priority or 0) * _TURNS + turn

    def _model_to_answer(self, name: str | None) -> Model:
        """The same; an answer shows its first name, whichever of its names a request used."""
        model, first = self.model(name), self.models()[0]
        return first if model.root == first.root else model


@contextmanager
def _leased(admission: Admission, step: Step) -> Iterator[LeasedGeneration | None]:
    """Around what gives a prompt to the engine: where that is full, or gone since it was asked last, it costs nothing.

    Gives what extends the call's lease, where it does not have all that it may produce.
    """
    try:
        yield LeasedGeneration(admission) if admission.leased < admission.most else None
    except BaseException as error:
        admission.usage.prompt_tokens = 0
        step.end(error)
        raise


def _told(settings: Mapping[str, object]) -> dict[str, Fact]:
    """The numbers among a request's settings, for its trail."""
    found = {name: settings.get(name) for name in _TOLD}
    return {name: one for name, one in found.items() if isinstance(one, int | float) and not isinstance(one, bool)}


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
