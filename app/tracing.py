"""Who reads a request's steps: OpenTelemetry, or the operator by a debug token (docs/decisions/0011-traces.md)."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import request

from app.contract import (
    DEBUG_EXPIRED_HEADER,
    DEBUG_HEADER,
    DEBUG_INVALID_HEADER,
    DEBUG_TRACE_HEADER,
    DEBUG_WRONG_HEADER,
    parent_from,
)
from app.documents import moment
from app.services import services
from gateway.traces import document, new_trace_id
from gateway.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.telemetry import Entry
    from gateway.spans import Parent, Spans, Told
    from gateway.subscription import Caller
    from gateway.traces import Traces

# What clients may write as a method is any word: https://opentelemetry.io/docs/specs/semconv/http/http-spans
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER = "_OTHER"


class Tracing:
    """The readers of one request's trail.

    Args:
        trace_id: the request's.
        spans: where they are exported to; None where the request is not sampled.
        parent: the span that the request's `traceparent` names.
        token: of the debug header; None where there is none.

    Attributes:
        trail: to note steps in.
        headers: of the answer: what became of the debug token.
    """

    def __init__(self, trace_id: str, spans: Spans | None, parent: Parent | None, token: str | None) -> None:
        self.trail = Trail()
        self.headers: dict[str, str] = {}
        self._trace_id = trace_id
        self._spans = spans
        self._parent = parent
        self._token = token
        self._method = request.method if request.method in _METHODS else _OTHER
        self._route = request.url_rule.rule if request.url_rule is not None else None
        self._scheme = request.scheme
        self._debug: tuple[Traces, str, str] | None = None  # where to keep it, its id, its subscription
        self._once = threading.Lock()

    def identify(self, caller: Caller) -> None:
        """The key is accepted: whose request it is decides what a debug token is worth. It never fails a request."""
        if self._token is None:
            return
        traces, token = services().traces, self._token
        self._token = None
        grant = traces.grant(token)
        if grant is None:
            self.headers[DEBUG_INVALID_HEADER] = "This is no debug token of this gateway. Ask the operator for one."
        elif grant.subscription != caller.subscription_id:
            self.headers[DEBUG_WRONG_HEADER] = "The debug token is for another subscription. Ask the operator for one."
        elif grant.expires_at <= traces.clock():
            self.headers[DEBUG_EXPIRED_HEADER] = moment(grant.expires_at) or ""
        else:
            trace_id = new_trace_id()
            self.headers[DEBUG_TRACE_HEADER] = trace_id
            self._debug = (traces, trace_id, caller.subscription_id)

    @property
    def wanted(self) -> bool:
        """Whether anybody will read it, as far as is known: without a key a debug token is worth nothing yet."""
        return self._spans is not None or self._debug is not None or self._token is not None

    def keep(self, entry: Entry) -> None:
        """Have the operator find it, where a debug token asks for that: once, before the caller has the last byte."""
        with self._once:
            debug, self._debug = self._debug, None
        if debug is not None:
            traces, trace_id, sid = debug
            self.trail.root.note(method=self._method, route=self._route, **_facts(entry))
            about = {
                "traceId": trace_id,
                "requestTraceId": self._trace_id,
                "subscription": sid,
                "product": entry.product,
                "operation": entry.operation,
                "status": int(entry.status or HTTPStatus.INTERNAL_SERVER_ERROR),
            }
            traces.keep(trace_id, sid, document(self.trail, about))

    def export(self, entry: Entry) -> None:
        """The request is over: hand it to OpenTelemetry, where it is sampled."""
        if self._spans is not None:
            self._spans.export(self.trail, self._trace_id, self._parent, self._root(entry))

    def _root(self, entry: Entry) -> Told:
        from gateway.spans import Told, own  # noqa: PLC0415 - imports OpenTelemetry: only where it is on

        status = int(entry.status or HTTPStatus.INTERNAL_SERVER_ERROR)
        failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        attributes = own(_facts(entry)) | {
            "http.request.method": self._method,
            "http.response.status_code": status,
            "url.scheme": self._scheme,
        }
        if self._route is not None:
            attributes["http.route"] = self._route
        if entry.error is not None:
            attributes["error.type"] = entry.error
        elif failed:
            attributes["error.type"] = str(status)
        method = "HTTP" if self._method == _OTHER else self._method
        return Told(method if self._route is None else f"{method} {self._route}", attributes, failed)


def begin(trace_id: str, *, sampled: bool) -> Tracing | None:
    """Who reads the current request's steps; None where nobody does.

    Args:
        trace_id: its.
        sampled: whether OpenTelemetry may have it.
    """
    token = request.headers.get(DEBUG_HEADER)
    spans = services().spans if sampled else None
    if spans is None and token is None:
        return None
    parent: Parent | None = None
    if spans is not None:
        from gateway.spans import Parent  # noqa: PLC0415 - as above

        found = parent_from(request.headers.get("traceparent"))
        parent = None if found is None else Parent(int(found[0], 16), found[1])
        if not spans.samples(trace_id, parent, "request"):
            spans = None
    if spans is None and token is None:
        return None
    return Tracing(trace_id, spans, parent, token)


def _facts(entry: Entry) -> Mapping[str, str | int | float | bool]:
    facts = {
        "operation": entry.operation,
        "subscription": entry.subscription,
        "product": entry.product,
        "error": entry.error,
        "detail": entry.detail,
        "limit": entry.limit,
        "replay_of": entry.replay_of,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}
