"""From events to bytes: one JSON object, or server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request, stream_with_context

from app import errors
from app.hangup import watcher
from app.telemetry import CLIENT_CLOSED_REQUEST, entry
from gateway.engine import Cancelled, Delta, Finish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from app.telemetry import Entry
    from gateway.engine import Event
    from gateway.service import Answer

_DONE = b"data: [DONE]\n\n"


class StreamBrokenError(Exception):
    """Raised after an error event, so that the server cuts the chunked body instead of ending it properly."""


def respond(answer: Answer, *, stream: bool) -> Response:
    """The HTTP answer of a Get Data operation. What fails before the first event has a status of its own."""
    current = entry()
    current.answer, current.stream = answer, stream
    return _streamed(answer) if stream else _whole(answer)


def _watched(answer: Answer) -> AbstractContextManager[None]:
    return watcher.watch(request.environ.get("gunicorn.socket"), answer.cancel)


def _whole(answer: Answer) -> Response:
    with _watched(answer):
        text = "".join(event.text for event in answer if isinstance(event, Delta))
    body = {"status": 200, "content-type": "application/json", "generated_text": text, **_tail(answer)}
    return Response(orjson.dumps(body), content_type="application/json")


def _streamed(answer: Answer) -> Response:
    events = iter(answer)
    with _watched(answer):
        first = next(events)
    response = Response(stream_with_context(_events(answer, first, events)), content_type="text/event-stream")
    response.call_on_close(partial(_release, answer, entry()))
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect the stream otherwise
    return response


def _events(answer: Answer, first: Event, rest: Iterator[Event]) -> Iterator[bytes]:
    try:
        with _watched(answer):
            yield from _encode(answer, first)
            for event in rest:
                yield from _encode(answer, event)
    except (Cancelled, GeneratorExit) as end:
        _note_hangup(answer, entry())
        if isinstance(end, GeneratorExit):  # the server could not write
            raise
    except Exception as error:  # noqa: BLE001 - the 200 is out: whatever failed is told in the stream
        failure = errors.as_gateway_error(error)
        errors.note(failure)
        yield b"event: error\ndata: " + errors.body_of(failure) + b"\n\n"
        raise StreamBrokenError from None


def _release(answer: Answer, current: Entry) -> None:
    """Let go of an answer whose response is closed, also where the server never began to send it."""
    if current.error is None:
        _note_hangup(answer, current)
    answer.close()


def _note_hangup(answer: Answer, current: Entry) -> None:
    # A caller that has the end of the answer may leave before `[DONE]`: it has not hung up.
    if answer.finish is None:
        current.status, current.error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"


def _encode(answer: Answer, event: Event) -> Iterator[bytes]:
    match event:
        case Delta(text=text) if text:
            yield b"data: " + orjson.dumps({"generated_text": text}) + b"\n\n"
        case Finish():
            yield b"data: " + orjson.dumps({"status": 200, "generated_text": "", **_tail(answer)}) + b"\n\n"
            yield _DONE


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
