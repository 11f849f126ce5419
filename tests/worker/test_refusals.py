"""What the parser and the worker refuse: the contract's answer, and nothing of the input in it or the log."""

from __future__ import annotations

import pytest

from tests.worker.helper_app import CANARY
from tests.worker.server import Server, check_refusal, wait_until

KEY = f"Ocp-Apim-Subscription-Key: {CANARY}"
HOST = "Host: x"
CHUNKED = "Transfer-Encoding: chunked"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"


def post(*headers: str, line: str = f"POST /?subscription-key={CANARY} HTTP/1.1", body: str = "") -> str:
    return "\r\n".join([line, *headers, "", body])


REFUSED = {
    "garbage": (f"{CANARY}\r\n\r\n", 400),
    "nothing but line ends": ("\r\n\r\n", 400),
    "lower-case method": (post(HOST, line=f"post /{CANARY} HTTP/1.1"), 400),
    "bare line feeds": (f"GET /{CANARY} HTTP/1.1\nHost: x\n\n", 400),
    "bare line feed in a header": (f"GET / HTTP/1.1\r\nHost: x\n{KEY}\n\n", 400),
    "not ASCII in the path": (post(HOST, line=f"GET /\xe9{CANARY} HTTP/1.1"), 400),
    "raw space in an unknown path": (post(HOST, line=f"GET /{CANARY} {CANARY} HTTP/1.1"), 400),
    "raw space in the query": (post(HOST, line=f"POST /Get Data?key={CANARY} x HTTP/1.1"), 400),
    "no version": (post(HOST, line=f"GET /{CANARY}"), 400),
    "HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2": (post(HOST, line=f"GET /{CANARY} HTTP/2.0"), 505),
    "HTTP/0.9": (post(HOST, line=f"GET /{CANARY} HTTP/0.9"), 505),
    "header without a colon": (post(HOST, KEY.replace(":", "")), 400),
    "space before the colon": (post(HOST, KEY.replace(":", " :")), 400),
    "control character": (post(HOST, KEY + "\x01"), 400),
    "folded header": (post(HOST, KEY, f" {CANARY}"), 400),
    "no Host": (post(KEY), 400),
    "two Hosts": (post(HOST, f"Host: {CANARY}", KEY), 400),
    "long request line": (post(HOST, line=f"GET /{CANARY}{'x' * 1000} HTTP/1.1"), 414),
    "endless request line": (f"GET /{CANARY}{'x' * 5000}", 414),
    "long header": (post(HOST, KEY + "x" * 1000), 431),
    "many headers": (post(HOST, *[f"X-{n}: {CANARY}" for n in range(25)]), 431),
    "endless headers": (f"GET / HTTP/1.1\r\n{KEY}\r\n" + "X: y\r\n" * 9000, 431),
    "Content-Length and Transfer-Encoding": (
        post(HOST, KEY, "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
        400,
    ),
    "two Content-Lengths": (post(HOST, "Content-Length: 1", "Content-Length: 2", body="x"), 400),
    "Content-Length of no number": (post(HOST, f"Content-Length: {CANARY}"), 400),
    "negative Content-Length": (post(HOST, "Content-Length: -1"), 400),
    "unknown coding": (post(HOST, f"Transfer-Encoding: {CANARY}"), 501),
    "coding nobody decodes": (post(HOST, "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), 501),
    "coding without an end": (post(HOST, "Transfer-Encoding: gzip"), 400),
    "other expectation": (post(HOST, f"Expect: {CANARY}"), 417),
    "chunks too large": (post(HOST, "Transfer-Encoding: chunked", body="1001\r\n"), 413),
    "more framing than body": (
        post(HOST, "Transfer-Encoding: chunked", body=f"1;{'a' * 1000}\r\nx\r\n" * 70),
        413,
    ),
    "bad chunk size": (post(HOST, "Transfer-Encoding: chunked", body=f"{CANARY}z\r\n"), 400),
    "negative chunk size": (post(HOST, "Transfer-Encoding: chunked", body="-1\r\nx\r\n"), 400),
    "bad chunk end": (post(HOST, "Transfer-Encoding: chunked", body="1\r\nxyy0\r\n\r\n"), 400),
    "bad chunk extension": (post(HOST, "Transfer-Encoding: chunked", body=f"0;=\x01{CANARY}\r\n\r\n"), 400),
    "bad trailer": (post(HOST, "Transfer-Encoding: chunked", body=f"0\r\n{CANARY}\r\n\r\n"), 400),
    "endless chunk size": (post(HOST, "Transfer-Encoding: chunked", body="0" * 9000), 400),
}


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_the_contracts_form(server: Server, request_bytes: str, status: int) -> None:
    with server.client() as client:
        client.send(request_bytes)
        reply = check_refusal(client.reply(), status)
        assert client.ended()
    assert CANARY.encode() not in reply.body
    trace_id = reply.headers["x-trace-id"]
    wait_until(lambda: trace_id in server.log(), "the log record")


@pytest.mark.parametrize("body", [f"x{CANARY}", ""], ids=["cut short", "absent"])
def test_a_body_shorter_than_declared_is_never_taken_for_a_whole_one(server: Server, body: str) -> None:
    before = server.state()["served"]
    with server.client() as client:
        client.send(post(HOST, KEY, "Content-Length: 100", body=body))
        client.sock.shutdown(1)
        check_refusal(client.reply(), 400)
    assert server.state()["served"] == before


def test_a_head_cut_short_is_refused(server: Server) -> None:
    with server.client() as client:
        client.send(f"GET / HTTP/1.1\r\n{KEY}")
        client.sock.shutdown(1)
        check_refusal(client.reply(), 400)


@pytest.mark.parametrize("length", ["4097", str(10**800)])
def test_a_body_declared_too_large_is_refused_unread(server: Server, length: str) -> None:
    with server.client() as client:
        client.send(post(HOST, KEY, f"Content-Length: {length}", body="unread"))
        check_refusal(client.reply(), 413)
        assert client.ended()


FAULTY_BODIES = {
    "too large": (post(HOST, "Content-Length: 4097", line="POST /state HTTP/1.1", body="unread"), False),
    "chunks too large": (post(HOST, CHUNKED, line="POST /state HTTP/1.1", body="1001\r\n"), False),
    "bad chunk": (post(HOST, CHUNKED, line="POST /state HTTP/1.1", body=f"{CANARY}z\r\n"), False),
    "bad trailer": (post(HOST, CHUNKED, line="POST /state HTTP/1.1", body=f"0\r\n{CANARY}\r\n\r\n"), False),
    "slow": (post(HOST, "Content-Length: 100", line="POST /state HTTP/1.1", body="half"), False),
    "slow chunk": (post(HOST, CHUNKED, line="POST /state HTTP/1.1", body="5\r\nha"), False),
    "cut short": (post(HOST, "Content-Length: 100", line="POST /state HTTP/1.1", body="half"), True),
}


@pytest.mark.parametrize(("request_bytes", "ends"), FAULTY_BODIES.values(), ids=FAULTY_BODIES)
def test_what_the_application_says_before_it_reads_a_body_comes_before_faults_of_the_body(
    server: Server,
    request_bytes: str,
    ends: bool,  # noqa: FBT001
) -> None:
    with server.client() as client:
        client.send(request_bytes)
        if ends:
            client.sock.shutdown(1)
        reply = client.reply()
        assert client.ended()
    assert reply is not None
    assert reply.status == 200
    assert reply.headers["connection"] == "close"  # nobody knows where the next request would begin
    assert reply.json()["pid"]


TRACED = {
    "coding": (post(HOST, PARENT, "Transfer-Encoding: x"), 501),
    "length": (post(HOST, PARENT, "Content-Length: x"), 400),
    "expectation": (post(HOST, PARENT, "Expect: x"), 417),
    "method": (post(HOST, PARENT.replace("t", "T", 1), line="post / HTTP/1.1"), 400),
    "long header": (post(HOST, PARENT, "X: " + "x" * 1000), 431),
    "many headers": (post(HOST, PARENT, *[f"X-{n}: x" for n in range(25)]), 431),
    "slow head": (f"GET / HTTP/1.1\r\n{PARENT}\r\nX", 408),
}


@pytest.mark.parametrize(("request_bytes", "status"), TRACED.values(), ids=TRACED)
def test_the_trace_id_comes_from_the_request_whatever_is_wrong_with_it(
    server: Server, request_bytes: str, status: int
) -> None:
    reply = check_refusal(server.ask(request_bytes), status)
    assert reply.headers["x-trace-id"] == TRACE
    assert reply.json()["traceId"] == TRACE


def test_two_trace_ids_are_none(server: Server) -> None:
    reply = server.ask(post(HOST, PARENT, PARENT, "Expect: x"))
    assert reply.headers["x-trace-id"] != TRACE


NAMED = {
    "Host": (post(KEY), post(HOST, HOST), post("Host: a b")),
    "Content-Length": (post(HOST, "Content-Length: x"), post(HOST, "Content-Length: 1", "Content-Length: 1")),
    "Content-Type": (post(HOST, "Content-Type: a/b", "Content-Type: a/b"),),
    "Transfer-Encoding": (post(HOST, "Transfer-Encoding: gzip"),),
}


@pytest.mark.parametrize(
    ("name", "request_bytes"), [(name, request) for name, requests in NAMED.items() for request in requests]
)
def test_a_header_at_fault_is_named(server: Server, name: str, request_bytes: str) -> None:
    assert f"The header {name} " in check_refusal(server.ask(request_bytes), 400).json()["message"]


@pytest.mark.parametrize("target", ["/v1/models", "http://x/v1/models", "https://x:1/v1/models?a"])
def test_a_refusal_has_openais_form_on_its_paths(server: Server, target: str) -> None:
    check_refusal(server.ask(f"GET {target} HTTP/1.1\r\nbad header\r\n\r\n"), 400, openai=True)


def test_the_application_gets_the_same_trace_id(server: Server) -> None:
    request = f"GET / HTTP/1.1\r\nHost: x\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
    assert server.ask(request).json()["trace"] == TRACE


@pytest.mark.parametrize("request_bytes", ["HEAD / HTTP/1.1\r\n\r\n", "HEAD /x y HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_head_gets_no_body(server: Server, request_bytes: str) -> None:
    with server.client() as client:
        client.send(request_bytes)
        reply = client.reply(head=True)
        assert reply is not None
        assert reply.status == 400
        assert client.ended()


def test_a_failing_application_is_a_500_that_quotes_nothing(server: Server) -> None:
    before = len(server.log())
    reply = check_refusal(server.get(f"/broken?subscription-key={CANARY}"), 500)
    record = wait_until(lambda: reply.headers["x-trace-id"] in server.log() and server.log()[before:], "the record")
    assert "OSError" in record
    assert "helper_app.py" in record  # where it happened


def test_nothing_of_the_input_was_ever_written(server: Server) -> None:
    assert CANARY not in server.log()
    assert "Traceback" not in server.log()
