"""An engine that is loading, fails, takes too long, or whose caller leaves."""

from __future__ import annotations

import json
import socket
import sys
import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest
from flask.signals import request_finished

from app.streaming import GET_DATA, StreamBrokenError
from gateway.engines.scripted import Script
from gateway.errors import UnavailableError
from tests.http.conftest import REQUEST_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask, Response

    from tests.http.conftest import Api, Log, Reply

STREAM = {"prompt": "ab", "stream": True}
BODIES = [{"prompt": "ab"}, STREAM]


def piece(text: str) -> bytes:
    return b"data: " + json.dumps({"generated_text": text}, separators=(",", ":")).encode() + b"\n\n"


def usage(log: Log) -> tuple[object, ...]:
    line = log.request()
    return line["status"], line["prompt_tokens"], line["completion_tokens"], line["finish_reason"]


@pytest.mark.parametrize("body", BODIES)
def test_while_the_engine_loads_requests_are_sent_away(api: Api, body: object) -> None:
    api.engine.phase = "loading"
    for path in ("/get-data", "/System%20Prompt%20Get%20Data"):
        reply = api.post(body, path)
        reply.assert_error(503, "not ready", "loading", "step 3 of 6")
        assert reply.headers["Retry-After"] == "2"
    api.engine.phase = "ready"
    assert api.post(body).status == 200


def test_while_the_engine_loads_the_process_is_alive_and_not_ready(api: Api) -> None:
    api.engine.phase = "loading"
    assert api.get("/health/live").json == {"status": "live"}
    reply = api.get("/health/ready")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    assert reply.headers["Content-Type"] == "application/json"
    body = reply.json
    assert (body["code"], body["traceId"]) == (503, reply.headers["X-Trace-Id"])
    assert "loading" in body["message"]
    assert (body["phase"], body["step"], body["steps"]) == ("loading", 3, 6)
    api.engine.phase = "ready"
    assert (api.get("/health/ready").status, api.get("/health/ready").json["status"]) == (200, "ready")


def test_bad_input_is_told_while_the_engine_loads(api: Api) -> None:
    api.engine.phase = "loading"
    api.post({"prompt": ""}).assert_error(400)


@pytest.mark.parametrize("body", BODIES)
def test_an_engine_that_fails_before_the_first_token_gives_a_status(api: Api, log: Log, body: object) -> None:
    api.answers(fail_after=0, error=UnavailableError("It died.", retry_after=5))
    reply = api.post(body)
    reply.assert_error(503, "It died.")
    assert reply.headers["Retry-After"] == "5"
    assert usage(log) == (503, 2, 0, None)


def test_what_fails_before_the_first_piece_has_nothing_of_a_stream(api: Api, log: Log) -> None:
    api.answers(fail_after=0, error=UnavailableError("It died."))
    whole, streamed = api.post(BODIES[0]), api.post(STREAM)
    own = {"X-Trace-Id", "Content-Length"}  # the trace id is in the body, too
    assert {name: value for name, value in streamed.headers.items() if name not in own} == {
        name: value for name, value in whole.headers.items() if name not in own
    }
    assert [line["status"] for line in log.lines] == [503, 503]


def test_the_head_of_a_stream_is_made_while_the_engine_works(api: Api) -> None:
    api.answers(hold_after=0)
    made = threading.Event()
    replies: list[Reply] = []

    def note(_app: Flask, **_: object) -> None:
        made.set()

    caller = threading.Thread(target=lambda: replies.append(api.post(STREAM)), daemon=True)
    try:
        with request_finished.connected_to(note, api.app):
            caller.start()
            assert made.wait(10)
        assert api.engine.running == 1
    finally:
        api.engine.release.set()
    caller.join(10)
    assert [reply.status for reply in replies] == [200]


def test_a_stream_whose_first_piece_cannot_be_made_frees_the_engine(
    api: Api, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr(GET_DATA, "event", fail)
    api.answers(hold_after=1)
    api.post(STREAM).assert_error(500)
    assert api.engine.running == 0
    assert usage(log) == (500, 2, 1, None)


def test_a_stream_whose_head_cannot_be_made_frees_the_engine(api: Api) -> None:
    def fail(_app: Flask, response: Response, **_: object) -> None:
        if response.is_streamed:
            raise RuntimeError

    api.answers(hold_after=1)
    with request_finished.connected_to(fail, api.app):
        api.post(STREAM).assert_error(500)
    assert api.engine.running == 0


def test_an_engine_that_fails_in_the_middle_of_a_whole_answer_gives_a_status(api: Api, log: Log) -> None:
    api.answers(fail_after=3, error=UnavailableError("It died."))
    api.post({"prompt": "ab"}).assert_error(503, "It died.")
    assert usage(log) == (503, 2, 3, None)


@pytest.mark.parametrize(
    "failure",
    [(UnavailableError("It died."), 503, "It died."), (RuntimeError("canary"), 500, "The gateway failed to answer.")],
)
@pytest.mark.parametrize("after", [2, 3])
def test_an_engine_that_fails_in_the_middle_of_a_stream_breaks_it_off(
    api: Api, log: Log, failure: tuple[Exception, int, str], after: int
) -> None:
    error, status, message = failure
    api.answers("abc", fail_after=after, error=error)
    with api.stream(STREAM) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        assert stream.take(after) == [piece(text) for text in "abc"[:after]]
        first, data, *rest = next(stream.pieces).decode().split("\n")
        with pytest.raises(StreamBrokenError):  # the server then cuts the body, so that no client takes it for whole
            next(stream.pieces)
    assert (first, rest) == ("event: error", ["", ""])
    body = json.loads(data.removeprefix("data: "))
    assert list(body) == ["code", "message", "traceId"]
    assert (body["code"], body["traceId"]) == (status, stream.headers["X-Trace-Id"])
    assert body["message"].startswith(message)
    assert usage(log) == (status, 2, after, None)
    assert "canary" not in log.text


@pytest.mark.parametrize(
    ("body", "advice"), [(BODIES[0], "`max_tokens`, or stream the answer."), (STREAM, "`max_tokens`.")]
)
def test_a_request_past_its_deadline_is_answered_with_504_and_leaves_the_engine(
    api: Api, log: Log, body: object, advice: str
) -> None:
    def take_too_long(_prompt: str) -> Script:
        api.clock.now += REQUEST_TIMEOUT
        return Script(hold_after=0)

    api.engine.script = take_too_long
    api.post(body).assert_error(504, "600 seconds", f"Ask for fewer tokens with {advice}")
    assert api.engine.running == 0
    assert usage(log) == (504, 2, 0, None)


def test_a_request_within_its_deadline_is_served(api: Api) -> None:
    def take_long(_prompt: str) -> Script:
        api.clock.now += REQUEST_TIMEOUT - 1
        return Script()

    api.engine.script = take_long
    assert api.post({"prompt": "a"}).status == 200


def test_a_stream_past_its_deadline_ends_with_an_error(api: Api, log: Log) -> None:
    api.answers(hold_after=3)
    with api.stream(STREAM) as stream:
        stream.take(3)
        api.clock.now += REQUEST_TIMEOUT
        last = next(stream.pieces)
        assert api.engine.running == 0
        assert last.startswith(b'event: error\ndata: {"code": 504,')
        assert b"Ask for fewer tokens with `max_tokens`." in last
        with pytest.raises(StreamBrokenError):
            next(stream.pieces)
    assert usage(log) == (504, 2, 3, None)


@pytest.mark.parametrize("read", [1, 2, 3])
def test_closing_a_stream_early_frees_the_engine_and_counts_what_it_produced(api: Api, log: Log, read: int) -> None:
    api.answers(hold_after=3)
    with api.stream(STREAM) as stream:
        stream.take(read)
        assert api.engine.running == 1
    assert api.engine.running == 0
    status, prompt, completion, finish = usage(log)
    assert (status, prompt, finish) == (499, 2, None)
    assert read <= int(str(completion)) <= 3  # it runs ahead of its reader, up to where it is held
    assert log.request()["error"] == "ClientClosedRequest"


def test_a_stream_that_is_never_sent_frees_the_engine(api: Api, log: Log) -> None:
    api.answers(hold_after=1)
    with api.stream(STREAM):
        assert api.engine.running == 1
    assert api.engine.running == 0
    assert usage(log) == (499, 2, 1, None)


def test_a_caller_that_leaves_after_the_summary_has_not_hung_up(api: Api, log: Log) -> None:
    api.answers("abc")
    with api.stream(STREAM) as stream:
        *_, summary = stream.take(4)
        assert b'"finish_reason":"stop"' in summary
    assert usage(log) == (200, 2, 3, "stop")
    assert "error" not in log.request()


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("produced", [0, 2])
def test_a_caller_that_hangs_up_frees_the_engine(
    api: Api, log: Log, sockets: tuple[socket.socket, socket.socket], body: dict[str, object], produced: int
) -> None:
    ours, theirs = sockets
    api.answers(hold_after=produced)
    theirs.close()
    environ = {"gunicorn.socket": ours}
    headers = {"Content-Type": "application/json"}
    api.open("POST", "/get-data", body=json.dumps(body).encode(), headers=headers, environ=environ, key=api.key)
    assert api.engine.running == 0
    status, _, completion, finish = usage(log)
    assert (status, finish) == (499, None)
    assert int(str(completion)) <= produced


def test_a_caller_that_hangs_up_in_the_middle_of_a_stream_frees_the_engine(
    api: Api, log: Log, sockets: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = sockets
    api.answers(hold_after=2)
    with api.stream(STREAM, environ={"gunicorn.socket": ours}) as stream:
        assert stream.take(2) == [piece("A"), piece("n")]
        theirs.close()
        assert list(stream.pieces) == []  # waits until the hang-up is noticed
        assert api.engine.running == 0
    assert usage(log) == (499, 2, 2, None)


def test_a_server_that_can_is_offered_pieces_while_the_thread_waits(api: Api) -> None:
    text = "A long answer. " * 20
    api.answers(text, hold_after=1)

    def offered() -> list[bytes]:
        """What the server was offered, of a stream whose pieces all come in order; every third it does not take."""
        sent: list[bytes] = []
        taken: list[bytes] = []
        asked = count(1)

        def offer(data: bytes) -> bool:
            if next(asked) % 3 == 0:
                return False
            taken.append(data)
            sent.append(data)
            return True

        with api.stream(STREAM, environ={"gateway.offer": offer}) as stream:
            sent.extend(stream.take(1))
            api.engine.release.set()  # within 2 ms the engine goes on; until then the thread waits for it
            sent.extend(stream.pieces)
        api.engine.release.clear()
        *pieces, last = sent
        assert pieces == [piece(character) for character in text]
        end, done, _ = last.split(b"\n\n")
        assert done == b"data: [DONE]"
        assert json.loads(end.removeprefix(b"data: "))["usage"]["completion_tokens"] == len(text)
        return taken

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # else the script is at its end before another thread gets the interpreter
    try:
        assert any(offered() for _ in range(50))
    finally:
        sys.setswitchinterval(interval)


def test_a_caller_that_stays_is_served_over_a_watched_connection(
    api: Api, sockets: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = sockets
    for _ in range(3):  # as on a connection that is kept alive
        with api.stream(STREAM, environ={"gunicorn.socket": ours}) as stream:
            assert list(stream.pieces)[-1].endswith(b"data: [DONE]\n\n")
