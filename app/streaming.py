"""From events to bytes: one JSON object, or server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from flask import Response, request, stream_with_context

from app import errors
from app.hangup import watcher
from app.telemetry import CLIENT_CLOSED_REQUEST, entry
from gateway.engine import Cancelled, Chunk, Delta, Finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from app.telemetry import Entry
    from gateway.engine import Event
    from gateway.service import Answer

_DONE = b"data: [DONE]\n\n"


class StreamBrokenError(Exception):
    """Raised after an error event, so that the server cuts the chunked body instead of ending it properly."""


class Dialect(Protocol):
    """How an API writes answers."""

    def whole(self, answer: Answer, events: Iterable[Event]) -> bytes:
        """All of an answer as one JSON object."""
        ...

    def event(self, answer: Answer, event: Event) -> bytes:
        """One event of the engine's as server-sent events; nothing where it says nothing to the caller."""
        ...

    def failure(self, body: bytes) -> bytes:
        """What tells a caller in the stream that it failed; `body` is the error body."""
        ...


class _GetData:
    """Section 3 of the contract."""

    def whole(self, answer: Answer, events: Iterable[Event]) -> bytes:
        text = "".join(event.text for event in events if isinstance(event, Delta))
        return orjson.dumps(
            {"status": 200, "content-type": "application/json", "generated_text": text, **_tail(answer)}
        )

    def event(self, answer: Answer, event: Event) -> bytes:
        match event:
            case Delta(text=text) if text:
                return b"data: " + orjson.dumps({"generated_text": text}) + b"\n\n"
            case Finish():
                last = orjson.dumps({"status": 200, "generated_text": "", **_tail(answer)})
                return b"data: " + last + b"\n\n" + _DONE
            case _:
                return b""

    def failure(self, body: bytes) -> bytes:
        return b"event: error\ndata: " + body + b"\n\n"


class _OpenAI:
    """OpenAI's form. vLLM has written it already."""

    def whole(self, answer: Answer, events: Iterable[Event]) -> bytes:
        del answer
        return "".join(event.body for event in events if isinstance(event, Chunk)).encode()

    def event(self, answer: Answer, event: Event) -> bytes:
        del answer
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
    return _streamed(answer, dialect) if stream else _whole(answer, dialect)


def _watched(answer: Answer) -> AbstractContextManager[None]:
    return watcher.watch(request.environ.get("gunicorn.socket"), answer.cancel)


def _whole(answer: Answer, dialect: Dialect) -> Response:
    try:
        with _watched(answer):
            events = list(answer)  # to the end, where the usage is exact
        body = dialect.whole(answer, events)
    except BaseException:
        answer.usage.delivered_tokens = 0  # all of it or nothing
        raise
    return Response(body, content_type="application/json")


def _streamed(answer: Answer, dialect: Dialect) -> Response:
    events = iter(answer)
    with _watched(answer):
        first = next(events)
    body = stream_with_context(_events(answer, dialect, first, events))
    response = Response(body, content_type="text/event-stream")
    response.call_on_close(partial(_release, answer, entry()))
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect the stream otherwise
    return response


def _events(answer: Answer, dialect: Dialect, first: Event, rest: Iterator[Event]) -> Iterator[bytes]:
    try:
        with _watched(answer):
            for event in chain((first,), rest):
                if isinstance(event, Finish):
                    entry().settle()  # before the caller knows: what it asks next finds this call in its usage
                yield dialect.event(answer, event)
    except (Cancelled, GeneratorExit) as end:
        _note_hangup(answer, entry())
        if isinstance(end, GeneratorExit):  # the server could not write
            raise
    except Exception as error:  # noqa: BLE001 - the 200 is out: whatever failed is told in the stream
        failure = errors.as_gateway_error(error)
        errors.note(failure)
        entry().settle()
        yield dialect.failure(errors.body_of(failure))
        raise StreamBrokenError from None


def _release(answer: Answer, current: Entry) -> None:
    """Let go of an answer whose response is closed, also where the server never began to send it."""
    if current.error is None:
        _note_hangup(answer, current)
    answer.close()


def _note_hangup(answer: Answer, current: Entry) -> None:
    # A caller may leave when it has what it wants, before `[DONE]` or before the usage: it has not hung up where the
    # engine had ended by itself.
    answer.close()
    if answer.finish is None:
        current.status, current.error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"


def _tail(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "model": answer.model.name,
        "finish_reason": answer.finish.reason if answer.finish else None,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
        "traceId": entry().trace_id,
    }
