"""How every generating operation begins: who calls, what may it, and has it its answer already?"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from flask import request

from app import streaming
from app.auth import require_caller
from app.body import raw_body
from app.contract import BodyError
from app.hangup import watcher
from app.services import services
from app.telemetry import entry
from gateway.claims import HEADER as KEY_HEADER
from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

    from gateway.admission import Admission
    from gateway.sealing import KeptAnswer


def call(make: Callable[[Admission], Response], deployment: str = "") -> Response:
    """The answer to the current request: made now, or the one that its Idempotency-Key has already.

    Args:
        make: makes it, by an admission that is settled with the request's end.
        deployment: what the path says of it, where it says more than the operation.

    Raises:
        AuthenticationError: no key, or none that may call.
        RateLimitedError: too many calls in a short time, or at a time.
        PermissionDeniedError: the call quota is used up.
        UnavailableError: the key store or the ledger cannot be reached.
        InvalidRequestError: the Idempotency-Key is at fault, or came with another request.
    """
    caller = require_caller()
    current = entry()
    current.admission = services().gateway.call(caller, current.operation or "", current.trace_id, current.trail)
    current.admission.watch = partial(watcher.watch, request.environ.get("gunicorn.socket"))
    key = request.headers.get(KEY_HEADER)
    if key is None:
        current.admission.open_soon()
    elif (kept := _open_once(current.admission, key, deployment)) is not None:
        return streaming.replay(kept)
    try:
        return make(current.admission)
    except Exception:
        current.admission.open_due()  # limits come before what is at fault in a request
        raise


def _open_once(admission: Admission, key: str, deployment: str) -> KeptAnswer | None:
    try:
        body = raw_body()
    except (InvalidRequestError, BodyError):
        admission.open()  # limits come before what is at fault in a body
        raise
    same = (admission.call.operation.encode(), deployment.encode(), body)
    gone = threading.Event()
    with watcher.watch(request.environ.get("gunicorn.socket"), gone.set):
        return services().gateway.open_once(admission, key, same, gone)
