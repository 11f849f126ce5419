"""The lease of a call that runs: extended block by block, before the engine may pass it.

The thread that serves the call does it, between two events of its answer. So there is no thread for it, the event loop
never waits for the database, and whoever settles a call cannot meet somebody who extends it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from gateway.engine import LEASE_LOW, Lease
from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.admission import Admission
    from gateway.engine import EngineGeneration, Event, Passing, Standing, Timings

# What others give back in this process is told at once; in another one it is looked for, less and less often.
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)

log = structlog.get_logger("gateway.ledger")


class LeasedGeneration:
    """An engine's generation whose lease grows with it. See `gateway.engine.Generation`.

    Args:
        admission: what reserves; `admit` has given it less than `most`.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._generation: EngineGeneration | None = None
        self._low = False
        self._tries = 0  # since it last had enough
        self._retry_at: float | None = None
        self._settled = False  # another call, since the last try
        self._held_since: float | None = None
        self._given_up = False

    def lease(self) -> Lease:
        """What the engine may produce now."""
        return Lease(self._admission.leased, self._run_low)

    def of(self, generation: EngineGeneration) -> LeasedGeneration:
        """The same, with what the engine has begun on these terms."""
        self._generation = generation
        return self

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:
        """The next event; meanwhile the lease is seen to."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._due():
                self._extend()
            try:
                return self._started().next(self._pause(give_up), passing)
            except TimeoutError:
                if give_up is not None and time.monotonic() >= give_up:
                    raise

    def cancel(self) -> None:
        """Take the request out of the engine."""
        self._given_up = True
        self._started().cancel()

    def standings(self) -> Sequence[Standing]:
        """How far each sequence is."""
        return self._started().standings()

    def timings(self) -> Timings | None:
        """When the engine did what."""
        return self._started().timings()

    def _due(self) -> bool:
        if self._given_up:
            return False
        if self._retry_at is None:
            return self._low and self._admission.leased < self._admission.most
        return self._settled or time.monotonic() >= self._retry_at

    def _pause(self, give_up: float | None) -> float | None:
        times = [at for at in (give_up, None if self._given_up else self._retry_at) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _extend(self) -> None:
        self._low = self._settled = False
        admission, generation = self._admission, self._started()
        before = admission.leased
        try:
            found = admission.extend(generation.standings())
        except UnavailableError as error:
            if not self._tries:
                log.warning("a call waits for the ledger", trace_id=admission.call.trace_id, detail=error.detail)
            self._try_again()
            return
        if found.ids > before or found.last:
            generation.extend(self.lease(), last=found.last)
        left = found.ids - max((one.produced for one in generation.standings() if not one.ended), default=0)
        self._note_waiting(held=left <= 0 and not found.last)
        if found.last or found.ids >= admission.most or left > LEASE_LOW:
            self._retry_at, self._tries, admission.wake = None, 0, None
        else:
            self._try_again()

    def _note_waiting(self, *, held: bool) -> None:
        now = time.monotonic()
        if held and self._held_since is None:
            self._held_since = now
        elif self._held_since is not None and not held:
            self._admission.waited += now - self._held_since
            self._admission.trail.hold(self._held_since, now)
            self._held_since = None

    def _try_again(self) -> None:
        self._retry_at = time.monotonic() + _PAUSES[min(self._tries, len(_PAUSES) - 1)]
        self._tries += 1
        self._admission.wake = self._look_again

    def _run_low(self) -> None:
        """From any thread."""
        self._low = True
        if self._generation is not None:
            self._generation.wake()

    def _look_again(self) -> None:
        """From any thread: another call has been settled."""
        self._settled = True
        self._started().wake()

    def _started(self) -> EngineGeneration:
        if self._generation is None:
            raise TypeError("not started")
        return self._generation
