"""Tells a client, and the log, of a request that was refused or has failed."""

from __future__ import annotations

import contextlib
import re
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from app.contract import trace_id_from
from deploy.worker.refusal import answer_to, render
from deploy.worker.request import GatewayRequest

if TYPE_CHECKING:
    from deploy.worker.connection import Connection

_log = structlog.get_logger("gateway.http")

_PLACES = 8
_TARGET = re.compile(rb"[^ ]+ (?:https?://[^/ ]*)?(?P<path>/[^ ?#\r\n]{0,64})")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")  # what is behind a head that ends in the wrong way is not part of it either
_TRACEPARENT = re.compile(rb"\r\ntraceparent:[ \t]*([^\r\n]*)", re.IGNORECASE)


class Traced(Protocol):
    """A request, or the connection that it came on."""

    trace_id: str
    started: float


def refuse(conn: Connection, fault: BaseException, **more: Any) -> None:
    """Send the contract's error body for a fault. A client that is gone or does not read gets nothing.

    Args:
        conn: where nothing of an answer has been sent yet.
        fault: what it is refused for, or has failed of.
        more: for the log.
    """
    answer = answer_to(fault)
    broken = getattr(fault, "req", None)  # what the parser had of the request when it gave up
    if conn.request is None:
        conn.trace_id = trace_id_from(_traceparent_in(conn.buffer))
        conn.request = broken if isinstance(broken, GatewayRequest) else None
    for_head = conn.request.method == "HEAD" if conn.request else conn.buffer.startswith(b"HEAD ")
    path = conn.request.path or "" if conn.request else _path_in(conn.buffer)
    record("request refused", conn, fault, status=answer.status.value, **more)
    with contextlib.suppress(OSError):
        conn.sock.sendall(render(answer, conn.trace_id, path=path, head_only=for_head))


def record(event: str, request: Traced, fault: BaseException, **more: Any) -> None:
    """Log an event with the class of its cause, never its text: that can quote the request."""
    with contextlib.suppress(OSError):  # a full disk or a closed pipe is no reason to stop serving
        _log.info(
            event,
            trace_id=request.trace_id,
            reason=type(fault).__name__,
            duration_ms=round(1000 * (time.monotonic() - request.started), 1),
            **more,
        )


def places(fault: BaseException) -> list[str]:
    """The places that an exception came through, the innermost last: a traceback without any values."""
    frames = traceback.extract_tb(fault.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-_PLACES:]]


def _path_in(head: bytearray) -> str:
    """What a head that could not be read seems to ask for: enough of it to answer in the form of that API."""
    found = _TARGET.match(head)
    return found["path"].decode("latin-1") if found else ""


def _traceparent_in(head: bytearray) -> str | None:
    """The header in a head that could not be read, as far as it came; None where it is not there once."""
    found = _TRACEPARENT.findall(_EMPTY_LINE.split(head, 1)[0])
    return found[0].decode("latin-1") if len(found) == 1 else None
