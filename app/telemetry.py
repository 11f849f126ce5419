"""One trace id and one log line for each request. Neither a key nor any content goes into either."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog
from flask import Flask, g, request

from app.contract import TRACE_HEADER, trace_id_from
from app.limits import limit_headers
from app.services import services
from app.tracing import begin as begin_tracing
from gateway.metrics import Ended
from gateway.trail import NO_TRAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Response

    from app.tracing import Tracing
    from gateway.admission import Admission
    from gateway.answer import Answer
    from gateway.errors import LimitKind
    from gateway.metrics import Metrics
    from gateway.subscription import Caller
    from gateway.trail import Trail

# nginx's code for a caller that hung up before its answer was whole. Only ever logged.
CLIENT_CLOSED_REQUEST = 499

# Machines ask these every few seconds, and so does the operator's page: their lines would bury the others.
PROBES = frozenset({"live", "ready", "metrics", "get engine"})

log = structlog.get_logger("gateway.request")


@dataclass(slots=True)
class Entry:
    """What the log line of a request will say.

    Attributes:
        trace_id: 32 hex digits.
        operation: the endpoint's name, never the path: a path may hold anything.
        status: of the answer; 499 for a caller that hung up, 5xx for a stream that broke after its 200.
        admission: what a generating operation may use, and has used.
        answer: what was generated for it.
        error: the class of the failure.
        detail: what the operator may know of the failure and the caller may not.
        product: of the subscription.
        limit: which limit of the product's refused it.
        replay_of: the trace id of the earlier request whose answer it got.
        trail: where its steps are noted.
        tracing: who reads them; None where nobody does.
    """

    trace_id: str
    operation: str | None
    metrics: Metrics
    started: float = field(default_factory=time.monotonic)
    subscription: str | None = None
    status: int | None = None
    stream: bool = False
    admission: Admission | None = None
    answer: Answer | None = None
    error: str | None = None
    detail: str | None = None
    product: str | None = None
    limit: LimitKind | None = None
    replay_of: str | None = None
    trail: Trail = NO_TRAIL
    tracing: Tracing | None = None

    def identify(self, caller: Caller) -> None:
        """The key is accepted."""
        self.subscription, self.product = caller.subscription_id, caller.product.id
        if self.tracing is not None:
            self.tracing.identify(caller)
            if not self.tracing.wanted:  # the debug token does not do
                self.trail = NO_TRAIL

    def settle(self) -> None:
        """Write what the call came to into the ledger, where it is one; once. So for its trace."""
        if self.answer is not None:
            self.answer.close()  # over already, unless something has failed between the engine and the caller
        if self.admission is not None:
            self.admission.settle(self.status or HTTPStatus.INTERNAL_SERVER_ERROR)
        if self.tracing is not None:
            self.tracing.keep(self)

    def write(self, environ: Mapping[str, Any]) -> None:
        """Log it, and count it; `environ` says when the last byte was out, where the server knows (`deploy.worker`)."""
        self.settle()
        seconds = environ.get("gateway.answered", time.monotonic()) - self.started
        self._count(seconds)
        fields: dict[str, object] = {
            "subscription": self.subscription,
            "operation": self.operation,
            "status": self.status,
            "duration_ms": _milliseconds(seconds),
        }
        if self.answer is not None:
            usage = self.answer.usage
            fields |= {
                "model": self.answer.model.name,
                "stream": self.stream,
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.cached_tokens,
                "completion_tokens": usage.completion_tokens,
                "finish_reason": self.answer.finish.reason if self.answer.finish else None,
                "time_to_first_token_ms": _milliseconds(usage.first_token_seconds),
            }
        if self.replay_of is not None:
            fields |= {"stream": self.stream, "replayed": True, "replay_of": self.replay_of}
        if self.error is not None:
            fields |= {"error": self.error, "detail": self.detail}
        # A probe that is refused is no routine: somebody may be guessing the admin token.
        routine = self.operation in PROBES and self.error is None
        write = log.debug if routine else log.info
        write("request", trace_id=self.trace_id, **fields)
        if self.tracing is not None:
            self.tracing.export(self)
        structlog.contextvars.clear_contextvars()  # what this thread logs next is of another request

    def _count(self, seconds: float) -> None:
        if self.operation not in PROBES:
            self.metrics.end()
        status = self.status or HTTPStatus.INTERNAL_SERVER_ERROR
        self.metrics.observe(
            Ended(
                self.operation,
                int(status),
                seconds,
                self.product,
                self.error,
                self.limit,
                self.admission,
                replayed=self.replay_of is not None,
            )
        )


def entry() -> Entry:
    """The log line of the current request, to be filled in."""
    return cast("Entry", g.entry)


def install(app: Flask) -> None:
    """Begin an entry with each request, and write it when the last byte is out."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.entry = current = Entry(_trace_id(), _operation(), services().metrics)
    is_probe = current.operation in PROBES
    if not is_probe:
        current.metrics.begin()
    current.tracing = begin_tracing(current.trace_id, sampled=not is_probe)
    if current.tracing is not None:
        current.trail = current.tracing.trail
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(trace_id=current.trace_id)


def _trace_id() -> str:
    # The worker class has one for its own records already; elsewhere, as in tests, there is none.
    found = request.environ.get("gateway.trace_id") or trace_id_from(request.headers.get("traceparent"))
    return str(found)


def _operation() -> str | None:
    return request.endpoint.rpartition(".")[2] if request.endpoint else None


def _end(response: Response) -> Response:
    current = entry()
    response.headers[TRACE_HEADER] = current.trace_id
    if current.status is None:
        current.status = response.status_code
    if not response.is_streamed:
        current.settle()  # before the caller has its answer: what it asks next finds this call in its usage
    if current.admission is not None:
        response.headers.extend(limit_headers(current.admission))
    if current.tracing is not None:
        response.headers.update(current.tracing.headers)
    response.call_on_close(partial(current.write, request.environ))
    return response


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
