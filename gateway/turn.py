"""Whose turn it is to compute, among the threads of a process that answer requests.

Python lets one thread compute at a time anyway, and hands over whenever one of them calls the system: requests that
have come are then all half done when the first of them could be with the engine. Answers of the same length that began
together end together, so the engine's batch has as many empty places as there are requests on their way to it. Here one
of them is done after the other, and those that are on their way to the engine come first.

A turn is about order and nothing else. From one that has had it for long the next takes it, so a thread that waits for
something meanwhile costs the others a moment, once, and not their answers.
"""

from __future__ import annotations

import enum
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 0.25
"""How long a thread may have the turn before another one takes it."""


class Urgency(enum.IntEnum):
    """What a turn is for; the smaller comes first."""

    LOOP = 0
    """The loop that all requests come and go through, which has a little to do for each and never waits."""

    QUESTION = 1
    """A request on its way to the engine."""

    ANSWER = 2
    """What somebody waits for."""

    AFTERWARDS = 3
    """What nobody waits for: the log line, the metrics."""


class Turn:
    """The turn of one process.

    Args:
        patience: seconds that a thread may have it.
        clock: monotonic seconds.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """As if nobody had it, or waited for it."""
        self._lock = threading.Lock()
        self._holder: object | None = None  # what the thread that has it was given for it
        self._since = 0.0  # when it got it
        self._waiting: tuple[deque[threading.Lock], ...] = tuple(deque() for _ in Urgency)
        self._mine = threading.local()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has it."""
        ticket = getattr(self._mine, "ticket", None)
        return ticket is not None and ticket is self._holder

    def during(self, urgency: Urgency, patience: float | None = None) -> _During:
        """Around what is to be done in a turn; the patience is that of `take`."""
        return _During(self, urgency, patience)

    def away(self, then: Urgency | None = None) -> _Away:
        """Around a wait: others have the turn meanwhile. Does nothing in a thread that takes none.

        Args:
            then: what it is taken again for; None for the same as before.
        """
        return _Away(self, then)

    def take(self, urgency: Urgency, patience: float | None = None) -> None:
        """Wait for it, or until it is time to take it.

        Args:
            urgency: what it is for.
            patience: seconds that another may have it, where they are not those of all.
        """
        called = threading.Lock()  # also what it is known by
        self._mine.urgency, self._mine.ticket = urgency, called
        with self._lock:
            if self._holder is None:
                self._hand_to(called)
                return
            called.acquire()
            self._waiting[urgency].append(called)
        patience = self._patience if patience is None else patience
        left: float | None = patience
        while left is not None and not called.acquire(timeout=left):
            left = self._take_from_holder(called, urgency, patience)

    def give(self) -> Urgency | None:
        """To whoever is next; what this thread took it for, also where another has it by now, else None."""
        mine = self._mine
        urgency: Urgency | None = getattr(mine, "urgency", None)
        if urgency is not None:
            ticket, mine.urgency, mine.ticket = mine.ticket, None, None
            with self._lock:
                if ticket is self._holder:
                    self._call_next()
        return urgency

    def _call_next(self) -> None:
        self._holder = None
        for line in self._waiting:
            if line:
                called = line.popleft()
                self._hand_to(called)
                called.release()
                return

    def pass_on(self, urgency: Urgency) -> None:
        """Let the others have theirs first, and go on with what is less urgent. Nothing in a thread that takes none."""
        if self.give() is not None:
            self.take(urgency)

    def _hand_to(self, called: threading.Lock) -> None:
        self._holder, self._since = called, self._clock()

    def _take_from_holder(self, called: threading.Lock, urgency: Urgency, patience: float) -> float | None:
        """How many seconds it is too early for that; None once nothing is left to wait for."""
        with self._lock:
            line = self._waiting[urgency]
            if called not in line:  # it was called at this very moment, and maybe has lost it again since
                return None
            left = self._since + patience - self._clock()
            if left > 0:
                return left
            line.remove(called)
            self._hand_to(called)
            return None


class _During:
    """A context, and no generator: each request has several."""

    __slots__ = ("_patience", "_turn", "_urgency")

    def __init__(self, turn: Turn, urgency: Urgency, patience: float | None) -> None:
        self._turn = turn
        self._urgency = urgency
        self._patience = patience

    def __enter__(self) -> None:
        self._turn.take(self._urgency, self._patience)

    def __exit__(self, *_: object) -> None:
        self._turn.give()


class _Away:
    """The opposite."""

    __slots__ = ("_then", "_turn")

    def __init__(self, turn: Turn, then: Urgency | None) -> None:
        self._turn = turn
        self._then = then

    def __enter__(self) -> None:
        had = self._turn.give()
        self._then = None if had is None else self._then if self._then is not None else had

    def __exit__(self, *_: object) -> None:
        if self._then is not None:
            self._turn.take(self._then)


turn = Turn()
"""This process's."""

# A thread of the parent's may have had its turn, and would never give it.
os.register_at_fork(after_in_child=turn.reset)
