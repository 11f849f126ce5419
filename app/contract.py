"""What every answer of the gateway shares: the trace id, the error body (contract, section 4), what protects it.

Knows no Flask, so that the server's own HTTP parser (`deploy.worker`) can answer in the same form.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

from gateway.identifiers import new_identifier

TRACE_HEADER = "X-Trace-Id"
REPLAYED_HEADER = "Idempotent-Replayed"
"""`true` where the answer was made for an earlier request with the same Idempotency-Key; the name is Stripe's."""

DEBUG_HEADER = "Apim-Debug-Authorization"
"""Has a debug token of the operator's, with which a request is traced; the name is Azure API Management's."""

DEBUG_TRACE_HEADER = "Apim-Trace-Id"
"""The id under which the operator finds that trace."""

DEBUG_EXPIRED_HEADER = f"{DEBUG_HEADER}-Expired"
DEBUG_WRONG_HEADER = f"{DEBUG_HEADER}-WrongAPI"
DEBUG_INVALID_HEADER = f"{DEBUG_HEADER}-Invalid"
DEBUG_HEADERS = (DEBUG_TRACE_HEADER, DEBUG_EXPIRED_HEADER, DEBUG_WRONG_HEADER, DEBUG_INVALID_HEADER)
"""Those of answers to requests with a debug token, one of them each: what became of it."""

SAFE_HEADERS = {
    "Cache-Control": "no-store",  # an answer is its caller's alone
    "X-Content-Type-Options": "nosniff",  # what a model wrote is JSON, whatever it looks like
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # and is no page
    "Referrer-Policy": "no-referrer",  # the address may hold a key
}
"""Headers of every answer that does not set them otherwise; those that OWASP's REST cheat sheet asks for.

`Strict-Transport-Security` is not among them: it is for whoever ends TLS, and a browser ignores it over plain HTTP.
"""

# W3C Trace Context, section 3.2.2: version ff is forbidden, and so is an id of zeros only. A later version
# may carry more fields behind the flags.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?",
)


class BodyError(Exception):
    """A request's body is not to be had; whoever reads it from `wsgi.input` meets this.

    The server knows before the application is asked, and asks nevertheless: path, method, key and the limits that need
    no body come first.

    Attributes:
        status: what the caller is told.
        message: for the caller.
        reason: for the log.
    """

    def __init__(self, status: int, message: str, reason: str = "BodyError") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason


def new_trace_id() -> str:
    """A W3C trace id of this gateway's making: 32 lower-case hex digits, not all of them zero."""
    return new_identifier()


def trace_id_from(traceparent: str | None) -> str:
    """The trace id of a request: the one in a valid `traceparent` header, else a new one."""
    found = _parsed(traceparent)
    return new_trace_id() if found is None else found["trace"]


def parent_from(traceparent: str | None) -> tuple[str, bool] | None:
    """The span that a valid `traceparent` names, 16 hex digits, and whether it is sampled; None where there is none."""
    found = _parsed(traceparent)
    return None if found is None else (found["span"], bool(int(found["flags"], 16) & 1))


def _parsed(traceparent: str | None) -> re.Match[str] | None:
    found = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    return None if found is None or (found["version"] == "00" and found["more"] is not None) else found


def error_body(status: int, message: str, trace_id: str, openai: OpenAIError | None = None) -> bytes:
    """The JSON that every failure answers with: `{"code": …, "message": …, "traceId": …}`, and OpenAI's `error` too."""
    body: dict[str, object] = {"code": status, "message": message, "traceId": trace_id}
    if openai is not None:
        body["error"] = {"message": message, "type": openai.type, "param": openai.param, "code": openai.code}
    return json.dumps(body).encode()


def is_openai(path: str) -> bool:
    """Whether a path is one of OpenAI's API, whose clients look for `error` in the body."""
    return f"{path}/".startswith(("/v1/", "/openai/"))


@dataclass(frozen=True, slots=True)
class OpenAIError:
    """What OpenAI's `error` object says beside the message (https://platform.openai.com/docs/guides/error-codes).

    Attributes:
        type: a class of errors.
        code: one error among them, where OpenAI has a name for it.
        param: the field at fault.
    """

    type: str
    code: str | None = None
    param: str | None = None

    @classmethod
    def of(cls, status: int, param: str | None = None) -> OpenAIError:
        """The error that OpenAI answers with this status."""
        fallback = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        kind, usual = _OPENAI.get(status, (fallback, None))
        if param == "model" and status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            kind, usual = fallback, "model_not_found"  # of a model that exists and may not be used, too
        return cls(kind, usual, param)


_OPENAI: dict[int, tuple[str, str | None]] = {
    HTTPStatus.UNAUTHORIZED: ("invalid_request_error", "invalid_api_key"),
    HTTPStatus.FORBIDDEN: ("insufficient_quota", "insufficient_quota"),
    HTTPStatus.TOO_MANY_REQUESTS: ("rate_limit_error", "rate_limit_exceeded"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("server_error", "service_unavailable"),
    HTTPStatus.GATEWAY_TIMEOUT: ("server_error", "timeout"),
}
