"""What every answer of the gateway shares: the trace id and the error body (contract, section 4).

Knows no Flask, so that the server's own HTTP parser (`deploy.worker`) can answer in the same form.
"""

from __future__ import annotations

import json
import re
import secrets

TRACE_HEADER = "X-Trace-Id"

# W3C Trace Context, section 3.2.2: version ff is forbidden, and so is an id of zeros only. A later version
# may carry more fields behind the flags.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?",
)


def new_trace_id() -> str:
    """A W3C trace id of this gateway's making: 32 lower-case hex digits, not all of them zero."""
    return secrets.token_hex(16)


def trace_id_from(traceparent: str | None) -> str:
    """The trace id of a request: the one in a valid `traceparent` header, else a new one."""
    found = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return new_trace_id()
    return found["trace"]


def error_body(status: int, message: str, trace_id: str) -> bytes:
    """The JSON that every failure answers with: `{"code": …, "message": …, "traceId": …}`."""
    return json.dumps({"code": status, "message": message, "traceId": trace_id}).encode()
