"""From events to bytes: one JSON object, or server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from flask import Response, request, stream_with_context
from werkzeug.wsgi import ClosingIterator

from app import errors
from app.contract import REPLAYED_HEADER
from app.hangup import watcher
from app.telemetry import CLIENT_CLOSED_REQUEST, entry
from gateway.engine import Cancelled, Chunk, Delta, Finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from app.telemetry import Entry
    from gateway.answer import Answer
    from gateway.engine import Event, Passing
    from gateway.errors import GatewayError
    from gateway.sealing import KeptAnswer, Recording

_JSON = "application/json"
_EVENTS = "text/event-stream"
# nginx would collect a stream otherwise.
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_DONE = b"data: [DONE]\n\n"


class StreamBrokenError(Exception):
    """Raised after an error event, so that the server cuts the chunked body instead of ending it properly."""


class Dialect(Protocol):
    """How an API writes answers."""

    def whole(self, answer: Answer, events: Iterable[Event], trace_id: str) -> bytes:
        """All of an answer as one JSON object."""
        ...

    def event(self, answer: Answer, event: Event, trace_id: str) -> bytes:
        """One event of the engine's as server-sent events; nothing where it says nothing to the caller."""
        ...

    def failure(self, body: bytes) -> bytes:
        """What tells a caller in the stream that it failed; `body` is the error body."""
        ...


class _GetData:
    """Section 3 of the contract."""

    def whole(self, answer: Answer, events: Iterable[Event], trace_id: str) -> bytes:
        text = "".join(event.text for event in events if isinstance(event, Delta))
        return orjson.dumps({"status": 200, "content-type": _JSON, "generated_text": text, **_tail(answer, trace_id)})

    def event(self, answer: Answer, event: Event, trace_id: str) -> bytes:
        match event:
            case Delta(text=text) if text:
                return b"data: " + orjson.dumps({"generated_text": text}) + b"\n\n"
            case Finish():
                last = orjson.dumps({"status": 200, "generated_text": "", **_tail(answer, trace_id)})
                return b"data: " + last + b"\n\n" + _DONE
            case _:
                return b""

    def failure(self, body: bytes) -> bytes:
        return b"event: error\ndata: " + body + b"\n\n"


class _OpenAI:
    """OpenAI's form. vLLM has written it already."""

    def whole(self, answer: Answer, events: Iterable[Event], trace_id: str) -> bytes:
        del answer, trace_id
        return "".join(event.body for event in events if isinstance(event, Chunk)).encode()

    def event(self, answer: Answer, event: Event, trace_id: str) -> bytes:
        del answer, trace_id
        return b"data: " + event.body.encode() + b"\n\n" if isinstance(event, Chunk) else _DONE

    def failure(self, body: bytes) -> bytes:
        # Its clients know no event names; they look for `error` in the data.
        return b"data: " + body + b"\n\n"


GET_DATA: Dialect = _GetData()
OPENAI: Dialect = _OpenAI()


def respond(answer: Answer, dialect: Dialect, *, stream: bool) -> Response:
    """The HTTP answer of a generating operation. What fails before the first event has a status of its own."""
    current = entry()
    current.answer, current.stream = answer, stream
    return _Stream(answer, dialect, current).response() if stream else _whole(answer, dialect, current)


def replay(kept: KeptAnswer) -> Response:
    """The HTTP answer of a request whose Idempotency-Key has its answer already: the same bytes once more."""
    current = entry()
    current.replay_of, current.stream = kept.trace_id, kept.media_type == _EVENTS
    response = Response(kept.body, content_type=kept.media_type)
    response.headers[REPLAYED_HEADER] = "true"
    if current.stream:
        response.headers.update(_STREAM_HEADERS)
    return response


def _watched(answer: Answer, current: Entry) -> AbstractContextManager[None]:
    if _recording(current) is not None:  # who sends the key again is to get this answer: it is made to its end
        return nullcontext()
    return watcher.watch(request.environ.get("gunicorn.socket"), answer.cancel)


def _recording(current: Entry) -> Recording | None:
    return None if current.admission is None else current.admission.recording


def _whole(answer: Answer, dialect: Dialect, current: Entry) -> Response:
    try:
        with _watched(answer, current):
            events = list(answer)  # to the end, where the usage is exact
        body = dialect.whole(answer, events, current.trace_id)
    except BaseException:
        answer.usage.delivered_tokens = 0  # all of it or nothing
        raise
    if (recording := _recording(current)) is not None:
        recording.add(body)
        recording.finish(_JSON)
    return Response(body, content_type=_JSON)


class _StreamResponse(Response):
    """The response to a stream. Its head is made while the model computes, and goes out with the first piece.

    What fails before that has a status of its own: another response is made then, and this one given up.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = self.get_wsgi_headers(environ).to_wsgi_list()
        pieces = ClosingIterator(self.iter_encoded(), self.close)
        try:
            first = next(pieces)
        except Exception as error:  # noqa: BLE001 - as wherever Flask calls a view
            return errors.answer_instead(error)(environ, start_response)
        start_response(self.status, headers)
        return ClosingIterator(chain((first,), pieces), pieces.close)


class _Stream:
    """An answer on its way, event by event."""

    def __init__(self, answer: Answer, dialect: Dialect, current: Entry) -> None:
        self._answer = answer
        self._dialect = dialect
        self._entry = current
        self._recording = _recording(current)
        self._events: Iterator[Event] = iter(answer)

    def response(self) -> Response:
        response = _StreamResponse(stream_with_context(self._pieces()), content_type=_EVENTS)
        response.call_on_close(self._release)
        response.headers.update(_STREAM_HEADERS)
        return response

    def _pieces(self) -> Iterator[bytes]:
        begun = False
        try:
            with _watched(self._answer, self._entry):
                for event in self._events:
                    yield self._take(event)
                    if not begun:  # the head and the first piece are out
                        begun, self._answer.passing = True, self._offered()
        except GeneratorExit:  # the server could not write
            if self._recording is None:
                self._note_hangup()
            raise
        except Exception as error:
            if not begun:
                raise
            if isinstance(error, Cancelled):
                self._note_hangup()
                self._entry.settle()  # and not with the log line, behind which those of others wait
                return
            failure = self._note(error)  # the 200 is out: whatever failed is told in the stream
            yield self._dialect.failure(errors.body_of(failure))
            raise StreamBrokenError from None

    def _offered(self) -> Passing | None:
        """What writes an event's piece while the request's thread waits, on a server that can do that."""
        if self._recording is not None:
            return None
        offer: Callable[[bytes], bool] | None = request.environ.get("gateway.offer")  # `deploy.worker` has it

        def passing(event: Event) -> bool:
            piece = self._dialect.event(self._answer, event, self._entry.trace_id)
            return not piece or (offer is not None and offer(piece))

        return passing if offer is not None else None

    def _take(self, event: Event) -> bytes:
        piece = self._dialect.event(self._answer, event, self._entry.trace_id)
        if self._recording is not None:
            self._recording.add(piece)
        if isinstance(event, Finish):
            if self._recording is not None:
                self._recording.finish(_EVENTS)
            self._entry.settle()  # before the caller knows: what it asks next finds this call in its usage
        return piece

    def _release(self) -> None:
        """Let go of an answer whose response is closed, also where the server never began to send it."""
        if self._entry.error is None and self._recording is not None:
            self._finish_unread()
        if self._entry.error is None:
            self._note_hangup()
        self._answer.close()

    def _finish_unread(self) -> None:
        """The caller is gone, if it has not read all; who sends its key again is to get the whole answer."""
        try:
            for event in self._events:
                self._take(event)
        except Exception as error:  # noqa: BLE001 - whatever failed is told in the log: nobody reads any more
            self._note(error)

    def _note(self, error: Exception) -> GatewayError:
        failure = errors.as_gateway_error(error, self._entry.trace_id)
        errors.note(failure, self._entry)
        self._entry.settle()
        return failure

    def _note_hangup(self) -> None:
        # A caller may leave when it has what it wants, before `[DONE]` or before the usage: it has not hung up where
        # the engine had ended by itself.
        self._answer.close()
        if self._answer.finish is None:
            self._entry.status, self._entry.error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"


def _tail(answer: Answer, trace_id: str) -> dict[str, Any]:
    usage = answer.usage
    return {
        "model": answer.model.name,
        "finish_reason": answer.finish.reason if answer.finish else None,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
        "traceId": trace_id,
    }
