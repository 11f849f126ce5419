"""An engine whose answers are written down: for fast tests, and for faults that cannot be made otherwise.

It is never the proof that something works; the tests with vLLM are. Ids are the code points of the text.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.engine import Cancelled, Chunk, Delta, EngineStatus, Event, Finish, Model, Sampling, Work, nobody_to_tell
from gateway.errors import InvalidRequestError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.engine import Generation, Message, OpenAIRequest, Prepared, Terms


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
    ) -> Generation:
        del stream  # each character is an event, whoever reads
        self._require_ready()
        self.requests.append((list(prompt_ids), sampling))
        self.terms.append(terms)
        for remembered in (self.requests, self.terms):
            del remembered[:-_REMEMBERED]
        return _Generation(
            self, self.script("".join(map(chr, prompt_ids))), sampling.max_tokens or self._context_length
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
        prompt = request.body.get("prompt") or "".join(turn["content"] for turn in request.body.get("messages", []))
        if not prompt:
            raise InvalidRequestError("Field `messages` is required.", param="messages")
        self.prompt_tokens = len(prompt)
        self.limits: tuple[int, ...] = (request.body.get("max_tokens") or 100,)
        self._engine = engine
        self._request = request
        self._prompt = [ord(character) for character in prompt]
        self._text = ""
        self._generation: Generation | None = None
        self._end: Event | None = None

    def start(self, terms: Terms, max_tokens: int) -> Generation:
        most = min(self.limits[0], max_tokens)
        self._generation = self._engine.generate(self._prompt, Sampling(max_tokens=most), terms)
        return self

    def cancel(self) -> None:
        if self._generation is not None:
            self._generation.cancel()

    def next(self, timeout: float | None) -> Event:
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

    def _started(self) -> Generation:
        if self._generation is None:
            raise TypeError("not started")
        return self._generation

    def _json(self, choice: dict[str, object]) -> str:
        return json.dumps({"id": self._request.request_id, "choices": [{"index": 0, **choice}]})


class _Generation:
    def __init__(self, engine: ScriptedEngine, script: Script, max_tokens: int) -> None:
        self._engine = engine
        self._script = script
        self._text = script.text[:max_tokens]
        self._events: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        engine.count(+1)
        threading.Thread(target=self._run, name="scripted-engine", daemon=True).start()

    def next(self, timeout: float | None) -> Event:
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(event, Exception):
            raise event
        return event

    def cancel(self) -> None:
        self._cancelled.set()

    def _run(self) -> None:
        produced = 0
        last = self._play(produced)
        self._engine.count(-1)
        self._events.put(last)

    def _play(self, produced: int) -> Finish | Exception:
        for character in (*self._text, None):
            if produced == self._script.fail_after and self._script.error is not None:
                return self._script.error
            while produced == self._script.hold_after and not self._engine.release.is_set():
                if self._cancelled.wait(0.002):
                    break
            if self._cancelled.is_set():
                return Cancelled(produced)
            if character is None:
                break
            produced += 1
            self._events.put(Delta(character, [ord(character)]))
        return Finish("stop" if len(self._text) == len(self._script.text) else "length", produced)
