"""The admissions of one process: what they share, and which of them are not settled yet."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gateway.admission import Admission
from gateway.ledger import Call
from gateway.running import RunningCalls
from gateway.trail import NO_TRAIL
from gateway.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ledger import Ledger
    from gateway.rates import CallRates
    from gateway.subscription import Caller
    from gateway.trail import Trail

PATIENCE_SECONDS = 600.0
"""How long a call waits for tokens that others have reserved and may give back, unless it is said otherwise."""

OWN_END_SECONDS = 1.0
"""How long a process that ends waits for calls to be settled by their own threads, which know best what they cost."""

LAST_WRITES_SECONDS = 3.0
"""How long a process that ends waits for the calls that others of its threads are settling."""


class Admissions:
    """Makes the admissions of one process, and knows those that are not settled yet.

    Args:
        ledger: where they are written.
        rates: the call rates.
        patience: seconds that a call waits for tokens that others have reserved: as long as a request may take.
        waiting_room: how many calls may wait for tokens before they are in the engine, and how many for another call
            with their key.
        monotonic: seconds.

    Attributes:
        running: the calls that have a row which is open.
        refused: the subscriptions whose last call was over a limit on calls, by `Call.account_key`.
    """

    def __init__(
        self,
        ledger: Ledger,
        rates: CallRates,
        *,
        patience: float = PATIENCE_SECONDS,
        waiting_room: int = 64,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.rates = rates
        self.patience = patience
        self.monotonic = monotonic
        self.waiting_room = WaitingRoom(waiting_room)
        self.stopping = False
        self.repeats = threading.BoundedSemaphore(waiting_room)
        self._settled = threading.Condition()
        self.running = RunningCalls()
        self.refused: set[str] = set()

    def of(self, caller: Caller, operation: str, trace_id: str, trail: Trail = NO_TRAIL) -> Admission:
        """The admission of a call that begins now; it notes its steps in the trail."""
        sid, product, now = caller.subscription_id, caller.product, self.ledger.clock()
        call = Call(trace_id, sid, caller.key, product.id, operation, now, caller.account)
        return Admission(self, call, product.limits, trail)

    def note(self) -> None:
        """Show the other processes that these calls live, and how far they are. Raises UnavailableError."""
        produced = {one.call.id: one.produced for one in self.running.all()}
        if produced:
            self.ledger.note(produced)

    def settle_all(self, status: int) -> None:
        """The process ends: settle what is left, and send away who waits."""
        self.stopping = True
        self.waiting_room.tell()
        with self._settled:
            self._settled.wait_for(lambda: not self.running, OWN_END_SECONDS)
        for one in self.running.all():
            one.settle(status)
        with self._settled:  # those that end at this moment are written by their own threads
            self._settled.wait_for(lambda: not self.running, LAST_WRITES_SECONDS)

    def wait_for_end(self, call: str, seconds: float) -> None:
        """Until a call of this process is settled, or for so long."""
        with self._settled:
            self._settled.wait_for(lambda: call not in self.running, seconds)

    def add(self, admission: Admission) -> None:
        """It has a row that is open."""
        self.running.add(admission)

    def remove(self, admission: Admission) -> None:
        """It is settled: whoever waits for its tokens looks again."""
        self.running.remove(admission)
        with self._settled:
            self._settled.notify_all()
        self.waiting_room.tell()
        for one in self.running.of(admission.call.account_key):
            if (wake := one.wake) is not None:
                wake()
