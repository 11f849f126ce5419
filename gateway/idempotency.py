"""Has a call with an Idempotency-Key made once, however often it is sent (docs/decisions/0009-idempotency.md).

The first that comes is made. Who comes while it runs, in whatever process, waits for its end. Who comes after its end
gets the same answer. Where it came to no answer, the next one is made.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gateway.claims import HEADER, Free, Kept, Runs
from gateway.engine import Cancelled
from gateway.errors import ConflictError, DeadlineExceededError, InvalidRequestError, UnavailableError
from gateway.sealing import Envelope, Recording
from gateway.turn import turn

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from gateway.admission import Admission
    from gateway.admissions import Admissions
    from gateway.sealing import KeptAnswer

# Between two looks at the store, where the call that is waited for runs in another process.
_FIRST_PAUSES, _PAUSE = (0.02, 0.05, 0.1), 0.25


class Idempotency:
    """Opens calls that have a key.

    Args:
        admissions: of this process.
        secret: 32 bytes, derived from the pepper, the same in every process with this store.
    """

    def __init__(self, admissions: Admissions, secret: bytes) -> None:
        self._admissions = admissions
        self._secret = secret

    def open(
        self, admission: Admission, key: str, request: Sequence[bytes], *, patience: float, gone: threading.Event
    ) -> KeptAnswer | None:
        """`Admission.open`, for a call with a key.

        Args:
            admission: of the call; it is over where there is an answer, and not written into the ledger.
            key: as the caller sent it.
            request: what makes a request the same as another.
            patience: seconds to wait for another call with the key.
            gone: set when the caller hangs up.

        Returns:
            The answer that is kept for the key; None where the call is to be made.

        Raises:
            InvalidRequestError: the key is at fault, or came with another request before.
            ConflictError: another call with the key runs, and too many wait already.
            DeadlineExceededError: it still ran when the time was over.
            Cancelled: the caller hung up meanwhile.
            GatewayError: as `Admission.open`.
        """
        try:
            envelope = Envelope(self._secret, admission.call.subscription_id, key, request)
        except InvalidRequestError:
            admission.open()  # limits come before what is at fault in a request
            raise
        admission.take_rate()
        with admission.trail.step("idempotency key"):
            found = self._holder(admission, envelope, patience, gone)
            if admission.trail.on:
                _note(admission, found)
        if isinstance(found, Kept):
            admission.drop()
            return envelope.open(found.answer, found.trace_id)
        admission.recording = Recording(envelope)
        return None

    def _holder(self, admission: Admission, envelope: Envelope, patience: float, gone: threading.Event) -> Free | Kept:
        """Who has the key: the call itself, or an answer."""
        found = admission.claim(envelope.claim)
        if not isinstance(found, Runs):
            return found
        try:
            return self._wait(admission, envelope, found, patience, gone)
        except (ConflictError, DeadlineExceededError, UnavailableError, Cancelled):
            admission.drop()  # the call that it waited for is in the ledger
            raise

    def _wait(
        self, admission: Admission, envelope: Envelope, running: Runs, patience: float, gone: threading.Event
    ) -> Free | Kept:
        """Until the key is this call's own, or its answer is there."""
        if not self._admissions.repeats.acquire(blocking=False):
            raise ConflictError(
                f"A request with the same {HEADER} is being answered. Try again in 1 seconds to get its answer.",
                param=HEADER,
                retry_after=1,
            )
        began = self._admissions.monotonic()
        try:
            for pause in itertools.chain(_FIRST_PAUSES, itertools.repeat(_PAUSE)):
                self._pause(running, pause, gone)
                if gone.is_set():
                    raise Cancelled(0)
                if self._admissions.monotonic() - began >= patience:
                    break
                if not self._runs(envelope, running):
                    found = admission.claim(envelope.claim)
                    if not isinstance(found, Runs):
                        return found
                    running = found
        finally:
            admission.held = self._admissions.monotonic() - began
            self._admissions.repeats.release()
        raise DeadlineExceededError(
            f"The request with the same {HEADER} was still being answered after {patience:g} seconds. "
            "Try again to get its answer.",
        )

    def _pause(self, running: Runs, seconds: float, gone: threading.Event) -> None:
        with turn.away():
            if running.call in self._admissions.running:
                self._admissions.wait_for_end(running.call, seconds)
            else:
                gone.wait(seconds)

    def _runs(self, envelope: Envelope, running: Runs) -> bool:
        here = running.call in self._admissions.running
        return here or self._admissions.ledger.running_for(envelope.claim) is not None


def _note(admission: Admission, found: Free | Kept) -> None:
    """Keep in the trail what has become of the key."""
    if isinstance(found, Kept):
        decision, replay_of = "The key has an answer: it is given once more.", found.trace_id
    elif found.failed is not None:
        decision, replay_of = "The call that was made for the key failed: it is made anew, and costs once.", None
    else:
        decision, replay_of = "No call has the key: this one is made.", None
    waited = round(admission.held, 6) if admission.held else None
    admission.trail.note(decision=decision, replay_of=replay_of, waited_seconds=waited)
