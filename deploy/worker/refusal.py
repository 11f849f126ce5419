"""What the server itself refuses, and the answer that goes out for it (contract, section 4).

gunicorn describes a broken request by quoting it: in its answer, in its log, in the text of its exceptions.
A quote may hold a key. So here only the *class* of an exception is looked at, never its text.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import NamedTuple

from gunicorn.http import errors
from gunicorn.util import http_date

from app.contract import SAFE_HEADERS, TRACE_HEADER, BodyError, OpenAIError, error_body, is_openai

# As the application's own answers have them; and a page in a browser may read why it was refused.
_HEADERS = {
    **SAFE_HEADERS,
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": f"{TRACE_HEADER}, Retry-After",
}


class Refusal(Exception):  # noqa: N818 - not every refusal is an error of somebody's
    """A request that the worker does not let through to the application."""

    status = HTTPStatus.BAD_REQUEST
    message = "The request could not be read. Send a well-formed HTTP/1.1 request."
    headers: tuple[tuple[str, str], ...] = ()


class RequestTooSlow(Refusal):
    """The head or the body was not complete when the read deadline passed."""

    status = HTTPStatus.REQUEST_TIMEOUT
    message = "The request did not arrive in time. Send it again, whole, on a new connection."


class BodyTooLarge(Refusal):
    """The body is declared, or turned out, larger than `max_body_bytes`."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.message = f"The body is too large. Send at most {limit} bytes."


class BodyCutShort(Refusal):
    """The client ended the connection's sending side in the middle of a request."""

    message = (
        "The request ended before it was complete. Send the whole head, and as many bytes of body as "
        "Content-Length says."
    )


class ServerStopping(Refusal):
    """A connection made after the server was told to stop."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    message = "The gateway is stopping. Send the request again in a moment."
    headers = (("Retry-After", "1"),)


class Overloaded(Refusal):
    """As many requests are served as there are threads, or as many connections are open as may be.

    Args:
        retry_after: seconds until it is worth coming back.
    """

    status = HTTPStatus.SERVICE_UNAVAILABLE
    message = "The gateway has as much to do as it can. Send the request again after the time in Retry-After."

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.headers = (("Retry-After", str(max(1, math.ceil(retry_after)))),)


class Answer(NamedTuple):
    """The status and the message that an exception is answered with."""

    status: HTTPStatus
    message: str
    headers: tuple[tuple[str, str], ...] = ()


_BAD_HEADER = Answer(
    HTTPStatus.BAD_REQUEST,
    "A header could not be read. Send each header once, as 'Name: value' on one line that ends with CRLF.",
)
_BAD_HOST = Answer(
    HTTPStatus.BAD_REQUEST,
    "The header Host is missing, there twice, or no host. Send it once, as 'Host: name' or 'Host: name:port'.",
)
_BAD_LENGTH = Answer(
    HTTPStatus.BAD_REQUEST,
    "The header Content-Length could not be read. Send it once, as the number of the body's bytes, and without "
    "Transfer-Encoding.",
)
_BAD_CODING = Answer(
    HTTPStatus.BAD_REQUEST,
    "The header Transfer-Encoding could not be read. Send 'Transfer-Encoding: chunked' over HTTP/1.1, or a "
    "Content-Length.",
)
_TWO_TYPES = Answer(HTTPStatus.BAD_REQUEST, "The header Content-Type is there twice. Send it once.")
_BAD_HEADERS = {
    "HOST": _BAD_HOST,
    "CONTENT-LENGTH": _BAD_LENGTH,
    "CONTENT-TYPE": _TWO_TYPES,
    "TRANSFER-ENCODING": _BAD_CODING,
}
_BAD_CHUNK = Answer(
    HTTPStatus.BAD_REQUEST,
    "The chunks of the body could not be read. Check the client's chunked encoding, or send Content-Length.",
)
_FAILED = Answer(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The gateway failed on this request. Try again; if that does not help, give the operator this traceId.",
)

# The nearest class in an exception's ancestry counts, so that a new kind of parse error is a 400.
_ANSWERS: dict[type[BaseException], Answer] = {
    errors.ParseException: Answer(Refusal.status, Refusal.message),
    errors.NoMoreData: Answer(BodyCutShort.status, BodyCutShort.message),
    errors.InvalidRequestLine: Answer(
        HTTPStatus.BAD_REQUEST,
        "The request line could not be read. Send method, path and HTTP/1.1 with one space between them, "
        "and percent-encode spaces in the path.",
    ),
    errors.InvalidRequestMethod: Answer(
        HTTPStatus.BAD_REQUEST,
        "The method could not be read. Send GET or POST, in capitals.",
    ),
    errors.InvalidHTTPVersion: Answer(
        HTTPStatus.BAD_REQUEST,
        "The request line does not end with an HTTP version. Percent-encode spaces in the path, "
        "and end the line with HTTP/1.1.",
    ),
    errors.LimitRequestLine: Answer(
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "The request line is too long. Shorten the URL; a prompt belongs in the body.",
    ),
    errors.LimitRequestHeaders: Answer(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The headers are too large. Send fewer or shorter ones.",
    ),
    errors.InvalidHeader: _BAD_HEADER,
    errors.InvalidHeaderName: _BAD_HEADER,
    errors.ObsoleteFolding: _BAD_HEADER,
    # The application's own header was at fault, not the client's, although these are subclasses.
    errors.InvalidResponseHeader: _FAILED,
    errors.InvalidResponseHeaderName: _FAILED,
    errors.UnsupportedTransferCoding: Answer(
        HTTPStatus.NOT_IMPLEMENTED,
        "This Transfer-Encoding is not supported. Send the body with Content-Length, or chunked.",
    ),
    errors.InvalidChunkSize: _BAD_CHUNK,
    errors.ChunkMissingTerminator: _BAD_CHUNK,
    errors.InvalidChunkExtension: _BAD_CHUNK,
    errors.ExpectationFailed: Answer(
        HTTPStatus.EXPECTATION_FAILED,
        "This Expect header cannot be met. Leave it out, or send 100-continue.",
    ),
    errors.InvalidSchemeHeaders: Answer(
        HTTPStatus.BAD_REQUEST,
        "The proxy's headers contradict each other about http and https. Send one of them.",
    ),
    errors.ForbiddenProxyRequest: Answer(
        HTTPStatus.FORBIDDEN,
        "This address may not speak for others. Connect without the PROXY protocol.",
    ),
    errors.ConfigurationProblem: _FAILED,
    Exception: _FAILED,
}

_UNSUPPORTED_VERSION = Answer(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "This version of HTTP is not supported. Send HTTP/1.1.",
)


def answer_to(fault: BaseException) -> Answer:
    """The answer that the contract has for a failure of the parser, the worker or the application."""
    if isinstance(fault, Refusal):
        return Answer(fault.status, fault.message, fault.headers)
    if isinstance(fault, BodyError):  # of an application that leaves it to the server
        return Answer(HTTPStatus(fault.status), fault.message)
    # gunicorn puts a version that it could read, but does not speak, as a pair of numbers.
    if isinstance(fault, errors.InvalidHTTPVersion) and isinstance(fault.version, tuple):
        return _UNSUPPORTED_VERSION
    if type(fault) is errors.InvalidHeader and (found := _BAD_HEADERS.get(getattr(fault, "hdr", ""))):
        return found
    return next((_ANSWERS[kind] for kind in type(fault).__mro__ if kind in _ANSWERS), _FAILED)


def render(answer: Answer, trace_id: str, *, path: str, head_only: bool) -> bytes:
    """The bytes of a whole HTTP/1.1 response. It always closes the connection: nobody knows what follows."""
    openai = OpenAIError.of(answer.status) if is_openai(path) else None
    body = error_body(answer.status, answer.message, trace_id, openai)
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Date: {http_date()}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"{TRACE_HEADER}: {trace_id}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (*_HEADERS.items(), *answer.headers)),
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    return head if head_only else head + body
