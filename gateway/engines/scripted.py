"""An engine whose answers are written down: for fast tests, and for faults that cannot be made otherwise.

It is never the proof that something works; the tests with vLLM are. Ids are the code points of the text.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gateway.engine import (
    LEASE_LOW,
    Activity,
    Cancelled,
    Chunk,
    Delta,
    EngineStatus,
    Event,
    Finish,
    Model,
    Sampling,
    Standing,
    Timings,
    Work,
    nobody_to_tell,
)
from gateway.errors import InvalidRequestError, UnavailableError
from gateway.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.engine import EngineGeneration, Lease, Message, OpenAIRequest, Passing, Prepared, Terms


_REMEMBERED = 1000  # requests: it may serve any number of them


@dataclass
class Script:
    """What the engine does with a request.

    Attributes:
        text: the answer; one id for each character.
        fail_after: raise `error` after this many characters; None for never.
        hold_after: wait for `release` after this many characters; None for never.
    """

    text: str = "An answer."
    fail_after: int | None = None
    error: Exception | None = None
    hold_after: int | None = None


class ScriptedEngine:
    """The engine port over a script. See `gateway.engine.Engine`."""

    def __init__(self, script: Callable[[str], Script] | None = None, *, context_length: int = 512) -> None:
        self.script = script or (lambda _prompt: Script())
        self.phase: Literal["ready", "loading"] = "ready"
        self.on_lost: Callable[[Mapping[str, int]], None] = nobody_to_tell
        self.requests: list[tuple[list[int], Sampling]] = []
        self.terms: list[Terms] = []
        self.running = 0
        self.release = threading.Event()
        self._context_length = context_length
        self._lock = threading.Lock()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.release.set()

    def status(self) -> EngineStatus:
        return EngineStatus(self.phase, 3, 6, 1.0)

    def models(self) -> Sequence[Model]:
        if self.phase != "ready":
            return ()
        return [Model(name, "scripted", self._context_length, int(time.time())) for name in ("scripted", "second-name")]

    def encode(self, messages: Sequence[Message]) -> list[int]:
        self._require_ready()
        return [ord(character) for message in messages for character in message.content]

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, terms: Terms, *, stream: bool = True
    ) -> EngineGeneration:
        del stream  # each character is an event, whoever reads
        self._require_ready()
        self.requests.append((list(prompt_ids), sampling))
        self.terms.append(terms)
        for remembered in (self.requests, self.terms):
            del remembered[:-_REMEMBERED]
        return _Generation(
            self, self.script("".join(map(chr, prompt_ids))), sampling.max_tokens or self._context_length, terms
        )

    def prepare(self, request: OpenAIRequest, timeout: float) -> Prepared:
        del timeout  # it takes none
        self._require_ready()
        return _Completion(self, request)

    def load(self, timeout: float = 5.0) -> tuple[int, int]:
        del timeout  # it takes none
        self._require_ready()
        return self.running, 0

    def work(self, timeout: float = 5.0) -> Work:
        del timeout  # it takes none
        self._require_ready()
        return Work(0, {})  # nobody waits for it

    def activity(self, timeout: float = 5.0) -> Activity:
        del timeout  # it takes none
        self._require_ready()
        return Activity(self.running, 0, None, 0.0)

    def count(self, change: int) -> None:
        """Note that a request began or ended."""
        with self._lock:
            self.running += change

    def _require_ready(self) -> None:
        if self.phase != "ready":
            raise UnavailableError("The model is not ready. Try again after the time in Retry-After.", retry_after=2)


class _Completion:
    """A request of OpenAI's: the script's text in the least of OpenAI's form."""

    def __init__(self, engine: ScriptedEngine, request: OpenAIRequest) -> None:
        prompt = _prompt_of(request.body)
        self.prompt_tokens = len(prompt)
        self.limits: tuple[int, ...] = (_max_tokens_of(request.body),)
        self._engine = engine
        self._request = request
        self._prompt = [ord(character) for character in prompt]
        self._text = ""
        self._generation: EngineGeneration | None = None
        self._end: Event | None = None

    def start(self, terms: Terms, max_tokens: int) -> EngineGeneration:
        most = min(self.limits[0], max_tokens)
        self._generation = self._engine.generate(self._prompt, Sampling(max_tokens=most), terms)
        return self

    def cancel(self) -> None:
        if self._generation is not None:
            self._generation.cancel()

    def wake(self) -> None:
        self._started().wake()

    def standings(self) -> Sequence[Standing]:
        return self._started().standings()

    def timings(self) -> Timings | None:
        return self._started().timings()

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        self._started().extend(lease, last=last)

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        del passing  # its events are made where they are read
        if self._end is not None:
            return self._end
        while isinstance(event := self._started().next(timeout), Delta):
            self._text += event.text
            if self._request.stream:
                return Chunk(self._json({"delta": {"content": event.text}}), 1)
        self._end = event
        if self._request.stream:
            return event
        return Chunk(self._json({"message": {"role": "assistant", "content": self._text}}), len(self._text))

    def _started(self) -> EngineGeneration:
        if self._generation is None:
            raise TypeError("not started")
        return self._generation

    def _json(self, choice: dict[str, object]) -> str:
        return json.dumps({"id": self._request.request_id, "choices": [{"index": 0, **choice}]})


def _prompt_of(body: Mapping[str, Any]) -> str:
    """The text of a request in OpenAI's form: texts only, where vLLM takes more."""
    field = "prompt" if body.get("prompt") else "messages"
    turns = [{"content": body["prompt"]}] if field == "prompt" else body.get("messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        turns = []
    texts = [text for turn in turns if isinstance(text := turn.get("content"), str) and text]
    if not texts or len(texts) < len(turns):
        raise InvalidRequestError(f"Field `{field}` should have text.", param=field)
    return "".join(texts)


def _max_tokens_of(body: Mapping[str, Any]) -> int:
    most = body.get("max_tokens")
    if most is None:
        return 100
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise InvalidRequestError("Field `max_tokens` should be a whole number from 1.", param="max_tokens")
    return most


class _Generation:
    def __init__(self, engine: ScriptedEngine, script: Script, max_tokens: int, terms: Terms) -> None:
        self._engine = engine
        self._script = script
        self._text = script.text[:max_tokens]
        self._lease = terms.lease
        self._timed = terms.timed
        self._queued = time.monotonic()
        self._scheduled: float | None = None
        self._first_token: float | None = None
        self._last_token: float | None = None
        self._last = False  # what the lease says is all that it will get
        self._low = False  # the lease has been told so
        self._produced = 0
        self._ended = False
        self._events: Relay[Event] = Relay()
        self._cancelled = False
        self._changed = threading.Condition()
        engine.count(+1)
        threading.Thread(target=self._run, name="scripted-engine", daemon=True).start()

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        return self._events.get(timeout, passing)

    def cancel(self) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify()

    def wake(self) -> None:
        self._events.put(None)

    def standings(self) -> Sequence[Standing]:
        return [Standing(self._produced, self._ended)]

    def timings(self) -> Timings | None:
        if not self._timed:
            return None
        return Timings(self._queued, self._scheduled, self._first_token, self._last_token)

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        with self._changed:
            self._lease, self._last, self._low = lease, last, False
            self._changed.notify()

    def _run(self) -> None:
        last = self._play()
        self._ended = True
        self._engine.count(-1)
        self._events.put(last)

    def _play(self) -> Finish | Exception:
        self._scheduled = time.monotonic()
        for character in (*self._text, None):
            if self._produced == self._script.fail_after and self._script.error is not None:
                return self._script.error
            self._hold(more=character is not None)
            if self._cancelled:
                return Cancelled(self._produced)
            if character is None or self._at_end_of_lease():
                break
            self._produced += 1
            self._last_token = time.monotonic()
            self._first_token = self._first_token or self._last_token
            self._events.pass_on(Delta(character, [ord(character)]))
        return Finish("stop" if self._produced == len(self._script.text) else "length", self._produced)

    def _hold(self, *, more: bool) -> None:
        """Until the next character, or the end where there is none, may come; or nobody wants it."""
        with self._changed:
            while not self._cancelled:
                held = self._produced == self._script.hold_after and not self._engine.release.is_set()
                self._look_at_lease()
                if not held and (self._last or not more or not self._at_end_of_lease()):
                    return
                self._changed.wait(0.002 if held else None)  # `release` is an event that others may set

    def _look_at_lease(self) -> None:
        lease = self._lease
        if lease is not None and not (self._low or self._last) and lease.ids - self._produced <= LEASE_LOW:
            self._low = True
            lease.low()

    def _at_end_of_lease(self) -> bool:
        return self._lease is not None and self._produced >= self._lease.ids
