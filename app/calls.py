"""How every generating operation begins: who calls, and what its product lets it do before its body is read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import request

from app.auth import require_caller
from app.hangup import watcher
from app.services import services
from app.telemetry import entry

if TYPE_CHECKING:
    from gateway.admission import Admission


def begin_call() -> Admission:
    """The admission of the current request; it is settled with the request's end.

    Raises:
        AuthenticationError: no key, or none that may call.
        RateLimitedError: too many calls in a short time, or at a time.
        PermissionDeniedError: the call quota is used up.
        UnavailableError: the key store or the ledger cannot be reached.
    """
    caller = require_caller()
    current = entry()
    current.admission = services().gateway.call(caller, current.operation or "", current.trace_id)
    current.admission.watch = partial(watcher.watch, request.environ.get("gunicorn.socket"))
    current.admission.open()
    return current.admission
