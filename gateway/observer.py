"""A thread that asks the engine what it has to do, as long as calls run, and tells the backlog."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.backlog import Backlog
    from gateway.engine import Engine

log = structlog.get_logger("gateway.engine")

EVERY_SECONDS = 0.5
_ENGINE_SECONDS = 2.0


class Observer:
    """Keeps a backlog up to date.

    Args:
        engine: asked between two of its steps, which costs it some microseconds for each request that it has.
        backlog: told what it says.
        busy: whether calls run; where none does, nothing of this process waits.
        monotonic: seconds.
    """

    def __init__(
        self,
        engine: Engine,
        backlog: Backlog,
        busy: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._backlog = backlog
        self._busy = busy
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-observer", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once."""
        self._stopping.set()

    def look(self) -> None:
        """Ask once."""
        if not self._busy():
            self._backlog.forget()
            return
        try:
            work = self._engine.work(_ENGINE_SECONDS)
        except UnavailableError:
            self._backlog.forget()
        except Exception as error:  # noqa: BLE001 - what was seen last would be held against all calls from now on
            self._backlog.forget()
            log.warning("the engine was not asked what it has to do", error=type(error).__name__)
        else:
            self._backlog.observe(work, self._monotonic())

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            self.look()
