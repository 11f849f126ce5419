"""Keeps the ledger true while a process serves: shows that its calls live, settles the calls of dead processes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.admissions import Admissions

BEAT_SECONDS = 1.0
LOOK_EVERY = 5
"""Beats between two looks at the calls of other processes."""

SWEEP_EVERY = 60
"""Beats between two looks at the kept answers that are too old."""

DEAD_AFTER_SECONDS = 20.0
"""How long the beat of a call may stand still."""

CUT_OFF = 503
"""The status of a call that the end of its process cut off."""

log = structlog.get_logger("gateway.ledger")


class Watch:
    """Tells which calls are of a dead process: those whose beat stands still, by this process's own clock.

    Beats are counts, not times, so that no clock that is moved ends anything.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: dict[str, tuple[int, float]] = {}

    def dead(self, beats: Mapping[str, int]) -> list[str]:
        """Those whose beat is what it was `DEAD_AFTER_SECONDS` ago."""
        now = self._monotonic()
        known = self._seen
        self._seen = {
            call: known[call] if call in known and known[call][0] == beat else (beat, now)
            for call, beat in beats.items()
        }
        return [call for call, (_, since) in self._seen.items() if now - since >= DEAD_AFTER_SECONDS]

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()


class Keeper:
    """A thread that does so.

    Args:
        admissions: what runs in this process.
        watch: for tests.
    """

    def __init__(self, admissions: Admissions, watch: Watch | None = None) -> None:
        self._admissions = admissions
        self._ledger = admissions.ledger
        self._watch = watch or Watch()
        self._stopping = threading.Event()
        self._away = False
        self._more = False  # answers that are too old
        self._thread = threading.Thread(target=self._run, name="ledger-keeper", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """The process ends in order: settle what is left, so that nobody needs to find it dead."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._admissions.settle_all(CUT_OFF)
        try:
            self._ledger.write_late()
        except GatewayError as error:  # others will find these calls dead
            log.warning("the ends of some calls could not be written", detail=error.detail)

    def beat(self) -> None:
        """One beat. Raises UnavailableError."""
        self._admissions.note()
        self._ledger.write_late()

    def look(self) -> None:
        """Settle the calls of processes that died, with what was noted of them. Raises UnavailableError."""
        dead = self._watch.dead(self._ledger.beats())
        if dead:
            calls = self._ledger.lose(dict.fromkeys(dead))
            log.warning("calls of a process that died are settled with what was noted of them", calls=calls)

    def sweep(self, beats: int) -> None:
        """Throw old answers away, at each beat as long as there are more, and old traces. Raises UnavailableError."""
        if self._more or beats % SWEEP_EVERY == 0:
            self._more = self._ledger.forget_answers()
        if beats % SWEEP_EVERY == 0:
            self._ledger.forget_traces()

    def lost(self, produced: Mapping[str, int]) -> None:
        """For `Engine.on_lost`: settle what a killed process left in the engine with what that had produced."""
        try:
            calls = self._ledger.lose(produced)
        except GatewayError as error:  # `look` will find them, with what was noted
            log.warning("calls of a process that died are settled later", detail=error.detail)
        else:
            log.info("calls of a process that died are settled", calls=calls)

    def _run(self) -> None:
        beats = 0
        while not self._stopping.wait(BEAT_SECONDS):
            beats += 1
            try:
                self.beat()
                if beats % LOOK_EVERY == 0:
                    self.look()
                self.sweep(beats)
                self._tell(away=False)
            except GatewayError as error:
                self._watch.forget()  # no beat could go on meanwhile
                self._tell(away=True, detail=error.detail)
            except Exception as error:  # noqa: BLE001 - without beats the others would bury all calls of this process
                self._watch.forget()
                # Without the stack: what is in the values of a fault nobody foresaw may be anything.
                log.error("the ledger was not kept for a beat", error=type(error).__name__)  # noqa: TRY400

    def _tell(self, *, away: bool, detail: str | None = None) -> None:
        """Once for each time that the store goes and comes back."""
        if away and not self._away:
            log.warning("the ledger cannot be reached", detail=detail)
        elif self._away and not away:
            log.info("the ledger is back")
        self._away = away
