"""The errors that callers meet, by status, in the forms that they have."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.contract import DEBUG_HEADERS, OpenAIError, error_body
from app.errors import HTTP_MESSAGES
from app.limits import LIMIT_HEADERS
from app.openapi.answers import ErrorBody, OpenAIErrorBody
from app.openapi.examples import TRACE_ID
from gateway.errors import AdminTokenError, InternalError, InvalidKeyError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marshmallow import Schema

SERVER = (408, 414, 431, 500, 503)
"""What any operation may fail with."""

BODY = (400, 413, 415)
"""What an operation with a body may fail with besides."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error status.

    Attributes:
        description: when it comes.
        messages: real ones, by a name of each.
        headers: names in `app.openapi.headers.HEADERS`.
    """

    description: str
    messages: Mapping[str, str]
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """A form of errors: its schema, its failures and what OpenAI's `error` adds to some of them."""

    prefix: str
    schema: type[Schema]
    failures: Mapping[int, Failure]
    openai: bool = False

    def body(self, status: int, message: str) -> Any:
        """An error body, as a caller gets it."""
        beside = OpenAIError.of(status, "model" if status == _NOT_FOUND else None) if self.openai else None
        return json.loads(error_body(status, message, TRACE_ID, beside))


_NOT_FOUND = 404
_RETRY = ("Retry-After",)

_ALL = {
    400: Failure(
        "The body, a field, a parameter or the prompt is at fault; or the prompt is longer than the context.",
        {"unknown field": "Field `temprature` is not known. Did you mean `temperature`?"},
    ),
    401: Failure(
        "The key is missing, unknown, or its subscription may not call.",
        {"missing": MissingKeyError().message, "invalid": InvalidKeyError().message},
        ("WWW-Authenticate",),
    ),
    403: Failure(
        "A quota of calls or tokens is used up, or the model is not in the product. Retry-After where a period ends.",
        {
            "call quota": "Out of call volume quota. Quota will be replenished in 71:59:32.",
            "model": "Field `model` names a model that your product does not have. It has: get-data-demo.",
        },
        _RETRY,
    ),
    404: Failure(
        "There is no such model.",
        {
            "model": "Field `model` names no model that is served here. Served are: get-data-demo, meta/llama2-70b.",
        },
    ),
    405: Failure("The path has no such method.", {"method": HTTP_MESSAGES[405]}, ("Allow",)),
    408: Failure(
        "The request did not arrive in time.",
        {"slow": "The request did not arrive in time. Send it again, whole, on a new connection."},
    ),
    413: Failure("The body is too large.", {"too large": "The body is too large. Send at most 1048576 bytes."}),
    414: Failure("The URL is too long.", {"too long": HTTP_MESSAGES[414]}),
    415: Failure(
        "The body is not declared as JSON in UTF-8.",
        {"not JSON": "Send the body as JSON in UTF-8, with the header Content-Type: application/json."},
    ),
    429: Failure(
        "More calls or tokens in a minute, or calls at a time, than the product allows.",
        {
            "rate": "Rate limit is exceeded. Try again in 12 seconds.",
            "tokens": "Token limit is exceeded. Try again in 12 seconds.",
            "concurrency": "Concurrency limit is exceeded: 2 at a time are allowed. Try again in 1 seconds.",
        },
        _RETRY,
    ),
    431: Failure("The headers are too large.", {"too large": HTTP_MESSAGES[431]}),
    500: Failure(
        "A fault of the gateway's own; its cause is in the log under the trace id.",
        {"fault": InternalError("").message},
    ),
    503: Failure(
        "Not now: the model is loading, restarting or stopping, its queue is full, or the key store is away.",
        {
            "loading": "The model is not ready: it is loading, step 3 of 6. Try again after the time in Retry-After.",
        },
        _RETRY,
    ),
    504: Failure(
        "The request's time ran out.",
        {
            "deadline": "The request took longer than the 600 seconds that it may take. "
            "Ask for fewer tokens with `max_tokens`, or stream the answer.",
        },
    ),
}

_GENERATING_400 = Failure(
    "The body, a field or the prompt is at fault; or the prompt is longer than the context; or an Idempotency-Key is "
    "at fault or came with another request.",
    {
        **_ALL[400].messages,
        "another request": "The header Idempotency-Key has a key that came with another request in the last 24 hours. "
        "Send a new key with a new request, and the same request to get its answer again.",
    },
)

_ADMIN = {
    **_ALL,
    400: Failure(
        "The body, a property, a parameter or a missing `If-Match` is at fault.",
        {
            "If-Match": "The header If-Match is missing. Send the ETag of the last GET in it, or * to change whatever "
            "is there."
        },
    ),
    401: Failure(
        "The admin token is missing, or another.", {"token": AdminTokenError().message}, ("WWW-Authenticate-Admin",)
    ),
    404: Failure(
        "There is no such resource; or management is off, because the operator has set no admin token.",
        {
            "resource": "There is no subscription 'acme'. List the subscriptions to see their ids.",
            "off": HTTP_MESSAGES[404],
        },
    ),
    409: Failure(
        "It does not fit the state that the resource is in, or a key is in use.",
        {"key": "This key is in use already. Choose another, or leave it out to have one made."},
    ),
    412: Failure(
        "The resource is not as the request's condition asks.",
        {
            "changed": "The subscription 'acme' is not as the request's condition asks: it was changed or made in "
            "between. Read it again, and repeat the change on what it is now."
        },
    ),
    503: Failure(
        "Not now: the store is away, or the gateway is stopping.",
        {"away": "The key store cannot be reached. Try again in 2 seconds."},
        _RETRY,
    ),
}

_IN_USE = Failure(
    "A request with the same Idempotency-Key is being answered, and too many wait for its answer already.",
    {"in use": "A request with the same Idempotency-Key is being answered. Try again in 1 seconds to get its answer."},
    _RETRY,
)

# Told before a call is admitted, and so without what its limits leave.
_BEFORE_ADMISSION = {401, 405, 414, 431}
_GENERATING = {
    status: failure
    if status in _BEFORE_ADMISSION
    else replace(failure, headers=(*failure.headers, *LIMIT_HEADERS, *DEBUG_HEADERS))
    for status, failure in {**_ALL, 400: _GENERATING_400, 409: _IN_USE}.items()
}

DIALECTS: dict[str, Dialect] = {
    "gateway": Dialect("", ErrorBody, _ALL),
    "openai": Dialect("OpenAI", OpenAIErrorBody, _ALL, openai=True),
    "generating": Dialect("Generating", ErrorBody, _GENERATING),
    "generating openai": Dialect("GeneratingOpenAI", OpenAIErrorBody, _GENERATING, openai=True),
    "management": Dialect("Management", ErrorBody, _ADMIN),
}
"""By the names that operations have for them."""
