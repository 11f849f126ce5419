"""An engine without a model, for what the gateway costs by itself: it costs little, and tells when it did what.

Answers are written down. One whose prompt begins with AT_ONCE is there as soon as it is asked for. Others grow by an
id at each step of a clock, all together, as a model's do; they are handed on from an event loop's thread, in the beat
of `gateway.engines.vllm.pulse`, as vLLM's are.

The text of an answer holds three times, so that its reader knows for how long the engine had it: when the engine was
asked, when the first id was due, when the last one was. A clock's steps come when they are due by the clock, however
late the loop is: a model would not wait for it either.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from gateway.engine import Cancelled, Delta, Event, Finish, Standing
from gateway.engines.scripted import ScriptedEngine
from gateway.engines.vllm.pulse import Pulse
from gateway.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.engine import EngineGeneration, Lease, Passing, Sampling, Terms

AT_ONCE = "At once"
PACED = "In steps"

THREAD = "scripted-engine"
"""What the kernel calls the thread of the clock: 15 bytes are what it keeps of a name."""

STEP_VARIABLE = "BENCH_STEP_SECONDS"
READY = "a worker is ready"
"""What a worker says once it would answer."""

_CONTEXT_LENGTH = 4096
_TOKEN = " token"
_PR_SET_NAME = 15  # linux/prctl.h
_TFD_TIMER_ABSTIME = 1  # linux/timerfd.h


class Times(NamedTuple):
    """When an engine had a request; seconds of the system's monotonic clock.

    Attributes:
        asked: it was asked.
        first: its first id was due.
        last: its last id was due.
    """

    asked: float
    first: float
    last: float

    @staticmethod
    def of(text: str) -> Times:
        """What an answer says of itself."""
        asked, first, *_, last = text.split()
        return Times(float(asked), float(first), float(last))


class PacedEngine(ScriptedEngine):
    """See the module.

    Args:
        step: seconds between two ids of an answer.
    """

    def __init__(self, step: float) -> None:
        super().__init__(context_length=_CONTEXT_LENGTH)
        self._step = step
        self._epoch = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._pulse = Pulse(self._loop)
        self._growing: dict[_Growing, None] = {}
        self._timer = _Timer()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        # As the worker does when it has attached to vLLM's engine.
        gc.collect()
        gc.freeze()
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, terms: Terms, *, stream: bool = True
    ) -> EngineGeneration:
        tokens = sampling.max_tokens or _CONTEXT_LENGTH
        if terms.lease is not None:
            raise ValueError("the benchmark's products have tokens for whole answers")
        if "".join(map(chr, prompt_ids[: len(AT_ONCE)])) == AT_ONCE:
            return _Ready(tokens, stream=stream)
        growing = _Growing(tokens, self._epoch, self._step, stream=stream)
        self._loop.call_soon_threadsafe(self._join, growing)
        return growing

    # In the event loop.

    def _run(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, THREAD.encode(), 0, 0, 0)
        self._loop.add_reader(self._timer, self._take_step)
        self._loop.run_forever()

    def _join(self, growing: _Growing) -> None:
        self._growing[growing] = None
        if len(self._growing) == 1:  # else the timer is set
            self._plan()

    def _plan(self) -> None:
        if self._growing:
            due = self._steps(time.monotonic()) + 1
            self._timer.set(self._epoch + due * self._step)

    def _steps(self, now: float) -> int:
        return int((now - self._epoch) / self._step)

    def _take_step(self) -> None:
        self._timer.read()
        steps = self._steps(time.monotonic())
        for growing in list(self._growing):
            if growing.reach(steps):
                del self._growing[growing]
                self._pulse.leave(growing)
            elif growing.begun:
                self._pulse.join(growing)
        self._pulse.step()
        self._plan()


class _Timer:
    """A descriptor that is readable from a moment on (timerfd_create(2)). An event loop's own timers are 1 ms late."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._descriptor: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def set(self, at: float) -> None:
        """Be readable then, in seconds of the monotonic clock; in place of what was set before."""
        seconds, fraction = divmod(at, 1)
        setting = (ctypes.c_long * 4)(0, 0, int(seconds), int(fraction * 1e9))  # struct itimerspec
        self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, setting, None)

    def read(self) -> None:
        """Not any more."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)


class _Generation:
    """The reader's side. See `gateway.engine.EngineGeneration`."""

    def __init__(self, tokens: int) -> None:
        self._asked = time.monotonic()
        self._tokens = tokens
        self._produced = 0
        self._events: Relay[Event] = Relay()

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        return self._events.get(timeout, passing)

    def cancel(self) -> None:
        self._events.put(Cancelled(self._produced))

    def wake(self) -> None:
        self._events.put(None)

    def standings(self) -> Sequence[Standing]:
        return [Standing(self._produced, self._produced == self._tokens)]

    def timings(self) -> None:
        return None  # no benchmark traces

    def extend(self, lease: Lease, *, last: bool = False) -> None:
        raise NotImplementedError  # it never has a lease

    def _tell(self, produced: int, first: float, last: float) -> None:
        """Hand on what is new, with one word for each id and the times among them."""
        words = [_TOKEN] * (produced - self._produced)
        if self._produced == 0:
            words[0] = f"{self._asked:.6f} {first:.6f}"
        if produced == self._tokens:
            words[-1] += f" {last:.6f}"
        hand_on = self._events.put if produced == self._tokens else self._events.pass_on
        hand_on(Delta("".join(words), range(self._produced, produced), first))
        self._produced = produced
        if produced == self._tokens:
            self._events.put(Finish("length", produced))


class _Ready(_Generation):
    """An answer that is there already, id by id where somebody reads along."""

    def __init__(self, tokens: int, *, stream: bool) -> None:
        super().__init__(tokens)
        for produced in range(1, tokens + 1) if stream else (tokens,):
            self._tell(produced, self._asked, self._asked)


class _Growing(_Generation):
    """An answer that grows by an id at each step after it was asked for."""

    def __init__(self, tokens: int, epoch: float, step: float, *, stream: bool) -> None:
        super().__init__(tokens)
        self._stream = stream
        self._before = int((self._asked - epoch) / step)
        self._first = epoch + (self._before + 1) * step
        self._last = epoch + (self._before + tokens) * step
        self._reached = 0

    @property
    def begun(self) -> bool:
        """Whether somebody reads along and has its first id, so that the others come in the beat."""
        return self._stream and self._produced > 0

    def reach(self, steps: int) -> bool:
        """So many steps of the clock are over; whether it has all its ids. The first and the last do not wait."""
        self._reached = min(self._tokens, max(0, steps - self._before))
        if self._reached == self._tokens or (self._stream and self._reached and not self._produced):
            self.collect()
        return self._reached == self._tokens

    def collect(self) -> None:
        """Hand on what has come since the last time."""
        if self._reached > self._produced:
            self._tell(self._reached, self._first, self._last)
