"""From a failure to an answer: one table of error classes and statuses, proven complete by a test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from app.auth import ADMIN_CHALLENGE, CHALLENGE
from app.contract import BodyError, OpenAIError, error_body, is_openai
from app.telemetry import CLIENT_CLOSED_REQUEST, entry
from gateway import errors
from gateway.engine import Cancelled

if TYPE_CHECKING:
    from app.telemetry import Entry

STATUS: dict[type[errors.GatewayError], int] = {
    errors.InvalidRequestError: 400,
    errors.AuthenticationError: 401,
    errors.PermissionDeniedError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.PreconditionFailedError: 412,
    errors.RateLimitedError: 429,
    errors.InternalError: 500,
    errors.UnavailableError: 503,
    errors.DeadlineExceededError: 504,
}

# What Werkzeug and Flask raise by themselves, in this API's words: theirs are made for people at a browser.
HTTP_MESSAGES = {
    400: "The request is malformed. Send one JSON object as the body.",
    404: "There is no such operation. See the list of operations in the documentation, such as POST /Get%20Data.",
    405: "This operation does not have that method. The header Allow names the methods that it has.",
    414: "The URL is too long. Put data into the body.",
    431: "The headers are too large. Send fewer or shorter ones.",
}

log = structlog.get_logger("gateway.request")


def install(app: Flask) -> None:
    """Have every failure of the app answered in the contract's form."""
    app.register_error_handler(errors.GatewayError, answer)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(BodyError, _answer_body)
    app.register_error_handler(Cancelled, _answer_cancelled)
    app.register_error_handler(Exception, _answer_fault)


def status_of(error: errors.GatewayError) -> int:
    """The HTTP status of a failure; a class without one of its own has its nearest ancestor's."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def body_of(error: errors.GatewayError) -> bytes:
    """The error body of a failure, in the current request."""
    return _body(status_of(error), error.message, error.param)


def _body(status: int, message: str, param: str | None = None) -> bytes:
    openai = OpenAIError.of(status, param) if is_openai(request.path) else None
    return error_body(status, message, entry().trace_id, openai)


def note(error: errors.GatewayError, current: Entry) -> None:
    """Put a failure into the request's log line: its class and the operator's detail, not the caller's message."""
    current.status = status_of(error)
    current.error = type(error).__name__
    current.detail = error.detail
    current.limit = error.limit


def as_gateway_error(error: Exception, trace_id: str) -> errors.GatewayError:
    """The failure as it may be told; one that nobody foresaw is logged with its stack and told as an internal error."""
    if isinstance(error, errors.GatewayError):
        return error
    log.error("a request failed", trace_id=trace_id, exc_info=_without_values(error))
    return errors.InternalError(type(error).__name__)


def answer(error: errors.GatewayError) -> Response:
    """The response that tells a failure."""
    note(error, entry())
    response = Response(body_of(error), status_of(error), content_type="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, errors.AuthenticationError):
        admin = isinstance(error, errors.AdminTokenError)
        response.headers["WWW-Authenticate"] = ADMIN_CHALLENGE if admin else CHALLENGE
    return response


def answer_instead(error: Exception) -> Response:
    """The response that tells a failure, in place of one that Flask has finished and that nobody has been given."""
    entry().status = None  # the other's
    return current_app.finalize_request(current_app.handle_user_exception(error))


def _answer_http(error: HTTPException) -> Response:
    current = entry()
    status = error.code or 500
    current.error = type(error).__name__
    own_words = error.description if type(error).description != error.description else None
    message = HTTP_MESSAGES.get(status) or own_words or "The request cannot be served."
    headers = [(name, value) for name, value in error.get_headers() if name in {"Allow", "Retry-After"}]
    return Response(_body(status, message), status, headers, content_type="application/json")


def _answer_body(error: BodyError) -> Response:
    entry().error = error.reason
    return Response(_body(error.status, error.message), error.status, content_type="application/json")


def _answer_cancelled(_: Cancelled) -> Response:
    current = entry()
    current.status, current.error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"
    # Read only by a caller that closed no more than its sending half.
    body = _body(CLIENT_CLOSED_REQUEST, "The connection was closed before the answer was whole.")
    return Response(body, CLIENT_CLOSED_REQUEST, content_type="application/json")


def _answer_fault(error: Exception) -> Response:
    return answer(as_gateway_error(error, entry().trace_id))


def _without_values(error: Exception) -> Exception:
    """The same failure without its text, which may quote a prompt; the stack stays."""
    return Exception(type(error).__name__).with_traceback(error.__traceback__)
