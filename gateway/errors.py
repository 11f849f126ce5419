"""Every failure that the gateway can tell a caller of, as one tree of exceptions.

An error has two texts: `message` goes to the caller and says what to do next; `detail` goes to the log
only. Nothing here knows HTTP: `app.errors` maps each class to a status, and a test proves that map complete.
"""

from __future__ import annotations

from typing import Literal

LimitKind = Literal[
    "call_rate", "call_quota", "concurrency", "tokens_per_minute", "token_quota", "tokens_reserved", "model"
]
"""What a product limits. `tokens_reserved`: the tokens that are left are held by calls that run."""


class GatewayError(Exception):
    """A failure with a message that a caller may read.

    Args:
        message: for the caller; says what to do next. Never holds a key, a prompt, a path or an internal name.
        detail: for the log under the request's trace id.
        param: the field or header at fault, where there is one.
        retry_after: seconds until it is worth trying again, where that is known.
        limit: which of the product's limits refused it.
    """

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        limit: LimitKind | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.param = param
        self.retry_after = retry_after
        self.limit = limit


class InvalidRequestError(GatewayError):
    """The body, a field or the prompt is at fault; `param` names the field."""


class AuthenticationError(GatewayError):
    """The caller could not be told: use one of the two classes below."""


class MissingKeyError(AuthenticationError):
    """No subscription key came with the request."""

    def __init__(self) -> None:
        super().__init__(
            "Access denied due to missing subscription key. "
            "Make sure to include subscription key when making requests to an API.",
        )


class InvalidKeyError(AuthenticationError):
    """The key is unknown, or its subscription may not call; the caller does not learn which."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(
            "Access denied due to invalid subscription key. "
            "Make sure to provide a valid key for an active subscription.",
            detail=detail,
        )


class AdminTokenError(AuthenticationError):
    """Management was asked for without the operator's token, or with another; the caller does not learn which."""

    def __init__(self) -> None:
        super().__init__("Access denied. Send the admin token in the header Authorization, as: Bearer <admin token>.")


class PermissionDeniedError(GatewayError):
    """The caller is known and may not do this: a model outside its product, a quota used up."""


class NotFoundError(GatewayError):
    """What the request names does not exist."""


class ConflictError(GatewayError):
    """The request does not fit the state that the thing is in."""


class PreconditionFailedError(GatewayError):
    """The thing has changed since the caller read it, or is there or not against the caller's condition."""


class RateLimitedError(GatewayError):
    """Too many calls or tokens in too short a time; `retry_after` says when to come back."""


class UnavailableError(GatewayError):
    """Not now: the engine is loading, restarting, draining or full, or the key store cannot be reached."""


class DeadlineExceededError(GatewayError):
    """The request's time ran out before its answer was whole."""


class InternalError(GatewayError):
    """A fault of the gateway's own; the cause is in the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "The gateway failed to answer. Try again; if it happens again, report this traceId to the operator.",
            detail=detail,
        )
