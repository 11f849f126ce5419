"""From events to bytes: one JSON object, or server-sent events (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request, stream_with_context

from app import errors
from app.hangup import watcher
from app.telemetry import CLIENT_CLOSED_REQUEST, entry
from gateway.engine import Cancelled, Delta, Finish

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def _whole(answer: Answer) -> Response:
    with watcher.watch(request.environ.get("gunicorn.socket"), answer.cancel):
        text = "".join(event.text for event in answer if isinstance(event, Delta))
    return Response(orjson.dumps({**_head(), "generated_text": text, **_tail(answer)}), content_type="application/json")


def _streamed(answer: Answer) -> Response:
    events = iter(answer)
    first = next(events)
    response = Response(stream_with_context(_events(answer, first, events)), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect the stream otherwise
    return response


def _events(answer: Answer, first: Event, rest: Iterator[Event]) -> Iterator[bytes]:
    try:
        with watcher.watch(request.environ.get("gunicorn.socket"), answer.cancel):
            yield from _encode(answer, first)
            for event in rest:
                yield from _encode(answer, event)
    except Cancelled:
        entry().status, entry().error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"
    except GeneratorExit:  # the server could not write: the caller is gone
        entry().status, entry().error = CLIENT_CLOSED_REQUEST, "ClientClosedRequest"
        raise
    except Exception as error:  # noqa: BLE001 - the 200 is out: whatever failed is told in the stream
        failure = errors.as_gateway_error(error)
        errors.note(failure)
        yield b"event: error\ndata: " + errors.body_of(failure) + b"\n\n"
        raise StreamBrokenError from None
    finally:
        answer.close()


def _encode(answer: Answer, event: Event) -> Iterator[bytes]:
    match event:
        case Delta(text=text) if text:
            yield b"data: " + orjson.dumps({"generated_text": text}) + b"\n\n"
        case Finish():
            yield b"data: " + orjson.dumps({**_head(), "generated_text": "", **_tail(answer)}) + b"\n\n"
            yield _DONE


def _head() -> dict[str, Any]:
    return {"status": 200, "content-type": "application/json"}


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
