"""The client programs against scripted bytes: what a healthy gateway on a fast wire never sends them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.clients.programs import Program

PLAIN = "HTTP/1.1 {}\r\nContent-Type: {}\r\nX-Trace-Id: {}\r\nTransfer-Encoding: chunked\r\n\r\n"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# Quotes, line ends of three kinds, characters of two, three and four bytes, and U+2028, at which some
# languages end a line.
TEXT = 'He said "你好 👋 é"\\ \r\n\u2028 [DONE] "generated_text": "x"'
ERROR = {"code": 500, "message": "The engine stopped. Try again.", "traceId": TRACE}


class Wire:
    """A server that plays back bytes to every connection and keeps what it was sent."""

    key = "0123456789abcdef0123456789abcdef"

    def __init__(self, script: list[bytes], pause: float) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._script = script
        self._pause = pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rb") as received:
                connection.settimeout(30)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                head = b"".join(iter(received.readline, b"\r\n" if self._script else b"")).decode()
                if not head:
                    return
                length = head.lower().partition("content-length:")[2].split()[0]
                self.heads.append(head)
                self.bodies.append(received.read(int(length)))
                with contextlib.suppress(OSError):
                    for piece in self._script:
                        connection.sendall(piece)
                        time.sleep(self._pause)

    def close(self) -> None:
        """Stop serving: an empty connection is the sign."""
        self._script = []
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


Play = Callable[..., Wire]


@pytest.fixture
def play() -> Iterator[Play]:
    """Start servers of scripted bytes."""
    with contextlib.ExitStack() as stack:

        def start(*script: bytes, pause: float = 0.0) -> Wire:
            wire = Wire(list(script), pause)
            stack.callback(wire.close)
            return wire

        yield start


def head(status: str, content_type: str) -> bytes:
    return PLAIN.format(status, content_type, TRACE).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END = chunk(b"")


def dump(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


def test_request_is_the_one_of_the_contract(program: Program, play: Play) -> None:
    wire = play(head("200 OK", "application/json"), chunk(b"{}"), END)
    options = ("--temperature", "0.5", "--max-tokens", "9", "--seed", "3")
    program.ask(wire, *options, "system-prompt-get-data", TEXT, "e\t👋")
    first, *headers = wire.heads[0].rstrip().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
    assert first == "POST /System%20Prompt%20Get%20Data HTTP/1.1"
    assert fields["content-type"] == "application/json"
    assert fields["cache-control"] == "no-cache"
    assert fields["ocp-apim-subscription-key"] == wire.key
    assert json.loads(wire.bodies[0].decode("utf-8")) == {
        "prompt": TEXT,
        "system prompt": "e\t👋",
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 3,
    }


def test_request_has_no_field_that_was_not_asked_for(program: Program, play: Play) -> None:
    wire = play(head("200 OK", "application/json"), chunk(b"{}"), END)
    program.ask(wire, "get-data", "Tell me about llama2", key="")
    assert wire.heads[0].startswith("POST /Get%20Data HTTP/1.1\r\n")
    assert "subscription-key" not in wire.heads[0].lower()
    assert json.loads(wire.bodies[0]) == {"prompt": "Tell me about llama2"}


def test_java_sends_the_space_as_it_is(java: Program, play: Play) -> None:
    wire = play(head("200 OK", "application/json"), chunk(b"{}"), END)
    java.ask(wire, "--raw-path", "get-data", "Tell me about llama2")
    assert wire.heads[0].startswith("POST /Get Data HTTP/1.1\r\n")


def test_plain_answer_cut_at_every_byte(program: Program, play: Play) -> None:
    body = dump({"generated_text": TEXT}).encode()
    pieces = [chunk(body[i : i + 1]) for i in range(len(body))]
    wire = play(head("200 OK", "application/json; charset=utf-8"), *pieces, END)
    assert program.ask(wire, "get-data", "x") == {
        "status": 200,
        "contentType": "application/json; charset=utf-8",
        "traceId": TRACE,
        "wwwAuthenticate": None,
        "body": {"generated_text": TEXT},
    }


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_stream_cut_at_every_byte(program: Program, play: Play, line_end: str) -> None:
    last = {"generated_text": "", "finish_reason": "stop", "status": 200}
    lines = [
        ": a comment",
        "",
        "data: " + dump({"generated_text": TEXT}),
        "",
        'data: {"generated_text":',  # one event on two lines
        'data:"é"}',
        "id: 7",
        "",
        "data: " + dump(last),
        "",
        "data: [DONE]",
        "",
        "",
    ]
    body = line_end.join(lines).encode()
    pieces = [chunk(body[i : i + 1]) for i in range(len(body))]
    wire = play(head("200 OK", "text/event-stream; charset=utf-8"), *pieces, END, pause=0.0005)
    seen = program.ask(wire, "--stream", "get-data", "x")
    assert json.loads(wire.bodies[0]) == {"prompt": "x", "stream": True}
    assert seen.pop("chunkArrivals") > 1
    assert seen == {
        "status": 200,
        "contentType": "text/event-stream; charset=utf-8",
        "traceId": TRACE,
        "pieces": [TEXT, "é"],
        "last": last,
        "done": True,
        "error": None,
    }


def test_stream_is_read_while_it_comes(program: Program, play: Play) -> None:
    events = [chunk(f'data: {{"generated_text": "{n}"}}\n\n'.encode()) for n in range(4)]
    done = chunk(b"data: [DONE]\n\n")
    seen = program.ask(
        play(head("200 OK", "text/event-stream"), *events, done, END, pause=0.1), "--stream", "get-data", "x"
    )
    assert seen["pieces"] == ["0", "1", "2", "3"]
    assert seen["chunkArrivals"] >= 3  # five, where the machine is not too busy to keep up


@pytest.mark.parametrize("ending", [END, b""], ids=["ended", "aborted"])
def test_error_in_a_stream_is_told_from_its_end(program: Program, play: Play, ending: bytes) -> None:
    wire = play(
        head("200 OK", "text/event-stream"),
        chunk(b'data: {"generated_text": "Once"}\n\n'),
        chunk(f"event: error\ndata: {dump(ERROR)}\n\n".encode()),
        ending,
        pause=0.05,
    )
    seen = program.ask(wire, "--stream", "get-data", "x")
    assert (seen["pieces"], seen["last"], seen["done"]) == (["Once"], None, False)
    assert seen["error"] == ERROR


def test_page_of_a_proxy_stays_text(program: Program, play: Play) -> None:
    wire = play(head("502 Bad Gateway", "text/html"), chunk('<p>"Sorry" é</p>\n'.encode()), END)
    seen = program.ask(wire, "--stream", "get-data", "x")
    assert seen["status"] == 502
    assert seen["body"].rstrip("\n") == '<p>"Sorry" é</p>'


@pytest.mark.parametrize(
    "half",
    [
        head("200 OK", "application/json") + chunk(b'{"generated_text": "On'),
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{"generated',
    ],
    ids=["chunks", "length"],
)
def test_half_an_answer_is_no_answer(program: Program, play: Play, half: bytes) -> None:
    wire = play(half)
    finished = program.start(wire, "get-data", "x")
    assert finished.returncode != 0
    assert not finished.stdout


def test_request_is_never_sent_twice(program: Program, play: Play) -> None:
    wire = play(b"")
    assert program.start(wire, "get-data", "x").returncode != 0
    assert len(wire.heads) == 1
