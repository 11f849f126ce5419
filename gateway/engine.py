"""The port to an engine: prompt in, events out. Knows nothing of HTTP, and nothing of vLLM.

`gateway.engines.vllm` implements it for real, `gateway.engines.scripted` for fast tests and for faults that
cannot be made otherwise. One suite of tests (`tests/engine`) runs over both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Phase = Literal[
    "starting",
    "importing",
    "configuring",
    "loading",
    "allocating",
    "attaching",
    "ready",
    "restarting",
    "failed",
]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How far an engine is.

    Attributes:
        phase: `ready` when a prompt would be answered; `failed` when loading failed and is tried again.
        step: how many of `steps` are done.
        elapsed: seconds since this attempt to load began.
        retry_after: seconds until it is worth asking again.
    """

    phase: Phase
    step: int
    steps: int
    elapsed: float
    retry_after: int = 2

    @property
    def ready(self) -> bool:
        """Whether a prompt would be answered now."""
        return self.phase == "ready"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that requests may name.

    Attributes:
        name: what `model` in a request says.
        root: what is loaded: a folder's name or a Hugging Face id.
        context_length: most ids of prompt and answer together.
        created: Unix time at which the engine was up.
    """

    name: str
    root: str
    context_length: int
    created: int


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens; None leaves a value to the model's generation config. Names are vLLM's and OpenAI's.

    Attributes:
        max_tokens: most ids to produce; None for as many as the context leaves.
        json_schema: JSON Schema that the answer must fit; `{"type": "object"}` for any object.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    json_schema: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of an answer.

    Attributes:
        text: what it adds; may be empty.
        token_ids: the ids that it was made of; may be empty.
        first_token_at: monotonic seconds at which the answer's first id came, where the engine knows better than the
            reader of this delta.
    """

    text: str
    token_ids: Sequence[int]
    first_token_at: float | None = None

    @property
    def tokens(self) -> int:
        """How many ids it was made of."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an answer.

    Attributes:
        reason: `stop` (the model or a stop string ended it) or `length`.
        completion_tokens: how many ids the engine produced.
        cached_tokens: how many ids of the prompt came from the prefix cache.
    """

    reason: FinishReason
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer in OpenAI's form.

    Attributes:
        body: JSON: the whole answer, or one chunk of a stream.
        tokens: how many ids the engine produced since the piece before.
        first_token_at: as in `Delta`.
    """

    body: str
    tokens: int
    first_token_at: float | None = None


Event = Delta | Chunk | Finish

Passing = Callable[[Event], bool]
"""What may be done with an event in place of waking its reader; whether it was done. If not, the reader gets it."""


@dataclass(frozen=True, slots=True)
class OpenAIRequest:
    """A request of OpenAI's API, as it came.

    Attributes:
        operation: which one.
        body: https://platform.openai.com/docs/api-reference/chat or /completions, with vLLM's additions.
        request_id: what the answer's `id` is made from.
    """

    operation: Literal["chat.completions", "completions"]
    body: dict[str, Any] = field(hash=False)
    request_id: str

    @property
    def stream(self) -> bool:
        """Whether the caller reads along."""
        return self.body.get("stream") is True

    @property
    def model(self) -> str | None:
        """Which served model; None for the default."""
        return self.body.get("model") or None

    def with_model(self, name: str) -> OpenAIRequest:
        """The same, for the model of this name."""
        return replace(self, body={**self.body, "model": name})


LONG_PROMPT = 4096
"""Characters. The tokenizer takes milliseconds for more, and needs no turn: it computes beside Python."""

LEASE_LOW = 64
"""How many ids are left of a lease when the engine asks for more: what it produces while that is seen to."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a request may produce for now. There it waits until it has more (`EngineGeneration.extend`).

    Attributes:
        ids: most ids for each sequence, in all.
        low: called from any thread, and not for long, when a sequence has `LEASE_LOW` of them left or fewer; once.
    """

    ids: int
    low: Callable[[], None]


class Standing(NamedTuple):
    """How far a sequence is.

    Attributes:
        produced: ids so far; where it has ended, all of them.
        ended: whether it has.
    """

    produced: int
    ended: bool


class Timings(NamedTuple):
    """When an engine did what for a request, in this process's monotonic seconds; None where it did not.

    Attributes:
        queued: it was put into the engine's queue.
        scheduled: the first step that worked on it began.
        first_token: that which made its first id was over.
        last_token: the same of its last one.
    """

    queued: float | None
    scheduled: float | None
    first_token: float | None
    last_token: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the engine takes a request.

    Attributes:
        call: 32 hex digits that name it, also to other processes once this one has died.
        priority: a smaller number goes first; among equals, the earlier.
        cache_salt: only requests with the same one share a prefix cache.
        lease: how much of `max_tokens` it may produce for now; None for all of it.
        timed: whether to take down when the engine does what.
    """

    call: str
    priority: int = 0
    cache_salt: str | None = None
    lease: Lease | None = None
    timed: bool = False


class Work(NamedTuple):
    """What an engine has done and has to do.

    Attributes:
        produced: ids, since it was started.
        queued: ids that the requests in its queue are expected to produce, by their priority.
    """

    produced: int
    queued: Mapping[int, int]


RATE_SECONDS = 10.0
"""Over how long a speed is taken."""


class Activity(NamedTuple):
    """What an engine is doing, for all processes of the gateway.

    Attributes:
        running: requests that it works on.
        waiting: requests in its queue.
        kv_cache: share of the KV cache that requests hold, 0 to 1; None where it has none.
        speed: ids a second that it has produced in the last `RATE_SECONDS`.
    """

    running: int
    waiting: int
    kv_cache: float | None
    speed: float


class Cancelled(Exception):  # noqa: N818 - named like asyncio's and trio's: it reports what we did, not a fault
    """The generation was cancelled; `completion_tokens` is what the engine had produced by then."""

    def __init__(self, completion_tokens: int) -> None:
        super().__init__(f"cancelled after {completion_tokens} tokens")
        self.completion_tokens = completion_tokens


class Generation(Protocol):
    """One answer in the making."""

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        """Wait for the next event: deltas as they come, then one Finish.

        Args:
            timeout: most seconds to wait; None for as long as it takes.
            passing: may be called with deltas and chunks while this waits, from one other thread, in their order; those
                that it has taken are not given here.

        Raises:
            TimeoutError: no event came in time; the generation goes on.
            Cancelled: after `cancel`, as soon as the engine has let go of the request.
            UnavailableError: the engine died, or is let go of; `standings` has what is known of it.
            InvalidRequestError: the engine refused the request.
        """
        ...

    def cancel(self) -> None:
        """Take the request out of the engine. From any thread, at any time, more than once."""
        ...

    def standings(self) -> Sequence[Standing]:
        """How far each sequence is, in the order of `Prepared.limits`; what is on its way may be missing."""
        ...

    def timings(self) -> Timings | None:
        """When the engine did what, as far as it has come; None unless `Terms.timed`."""
        ...


class EngineGeneration(Generation, Protocol):
    """An answer in the making as an engine gives it, with what a lease needs. All of it from any thread."""

    def wake(self) -> None:
        """Have `next` raise TimeoutError at once: the one that waits now, or else the next one."""
        ...

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        """Let each sequence produce as many ids as a larger lease says; the smaller one's `low` is not called any more.

        Args:
            lease: what it may produce now.
            last: it will not get more: what reaches the end of it ends there, as `length`.
        """
        ...


class Prepared(Protocol):
    """A request that the engine has understood, and has not begun.

    Attributes:
        prompt_tokens: ids of all its prompts.
        limits: most ids to produce, for each sequence that it asks for.
    """

    prompt_tokens: int
    limits: tuple[int, ...]

    def start(self, terms: Terms, max_tokens: int) -> EngineGeneration:
        """Begin, with at most `max_tokens` ids for each sequence."""
        ...

    def cancel(self) -> None:
        """Forget it."""
        ...


class Engine(Protocol):
    """What makes answers.

    Attributes:
        on_lost: told, from any thread, what requests of a process that died had produced: ids, by `Terms.call`.
    """

    on_lost: Callable[[Mapping[str, int]], None]

    def start(self) -> None:
        """Begin to load. Returns at once; `status` tells how far it is."""
        ...

    def stop(self) -> None:
        """Let go of everything; running generations fail."""
        ...

    def status(self) -> EngineStatus:
        """How far the engine is."""
        ...

    def models(self) -> Sequence[Model]:
        """What can be named as `model`; the first is the default. Empty until the engine is ready."""
        ...

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation, through the model's chat template. Text in it never becomes a control id.

        Raises:
            InvalidRequestError: the template refuses the conversation.
            UnavailableError: the engine is not ready.
        """
        ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, terms: Terms, *, stream: bool = True
    ) -> EngineGeneration:
        """Begin to answer.

        Args:
            prompt_ids: from `encode`.
            sampling: how to choose tokens.
            terms: its name and its place among others.
            stream: whether somebody reads along. If not, all may be one delta, which is cheaper.

        Raises:
            InvalidRequestError: the engine cannot do what `sampling` asks for.
            UnavailableError: the engine is not ready.
        """
        ...

    def prepare(self, request: OpenAIRequest, timeout: float) -> Prepared:
        """Understand a request of OpenAI's: check it, render its prompts. Its generation gives `Chunk`s.

        Args:
            request: its `model` is one that is served.
            timeout: most seconds to wait for another thread, if it takes one; the turn is given away meanwhile.

        Raises:
            InvalidRequestError: it is at fault, or the model cannot do what it asks for.
            UnavailableError: the engine is not ready.
            TimeoutError: it took too long.
        """
        ...

    def load(self, timeout: float = 5.0) -> tuple[int, int]:
        """How many requests the engine works on, and how many wait in it, from all processes of the gateway.

        Args:
            timeout: most seconds to wait for its word.

        Raises:
            UnavailableError: the engine is not ready, or does not say in time.
        """
        ...

    def work(self, timeout: float = 5.0) -> Work:
        """What it has done and has to do, for all processes of the gateway. As `load`."""
        ...

    def activity(self, timeout: float = 5.0) -> Activity:
        """What it is doing. As `load`."""
        ...


def nobody_to_tell(produced: Mapping[str, int]) -> None:
    """What `Engine.on_lost` is until somebody wants to know."""
    del produced
