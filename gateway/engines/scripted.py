"""An engine whose answers are written down: for fast tests, and for faults that cannot be made otherwise.

It is never the proof that something works; the tests with vLLM are. Ids are the code points of the text.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.engine import Cancelled, Delta, EngineStatus, Event, Finish, Model
from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.engine import Generation, Message, Sampling


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
        self.requests: list[tuple[list[int], Sampling]] = []
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

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, *, stream: bool = True) -> Generation:
        del stream  # each character is an event, whoever reads
        self._require_ready()
        self.requests.append((list(prompt_ids), sampling))
        return _Generation(
            self, self.script("".join(map(chr, prompt_ids))), sampling.max_tokens or self._context_length
        )

    def load(self) -> tuple[int, int]:
        return self.running, 0

    def count(self, change: int) -> None:
        """Note that a request began or ended."""
        with self._lock:
            self.running += change

    def _require_ready(self) -> None:
        if self.phase != "ready":
            raise UnavailableError("The model is not ready. Try again after the time in Retry-After.", retry_after=2)


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
