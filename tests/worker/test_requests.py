"""What is let through: bodies, kept connections, pipelines, 100-continue, raw spaces."""

from __future__ import annotations

import pytest

from tests.worker.server import Client, Server, check_refusal

LIMIT = 4096  # as in helper_conf


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(path: str, *chunks: bytes, trailer: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x;a=b\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_a_body_up_to_the_limit_arrives_whole(server: Server, size: int) -> None:
    assert server.ask(post("/", b"x" * size)).json()["length"] == size
    pieces = [b"y" * length for length in (size // 2, size - size // 2) if length]
    assert server.ask(chunked("/", *pieces)).json()["length"] == size


def test_one_byte_over_the_limit_is_refused(server: Server) -> None:
    check_refusal(server.ask(post("/", b"x" * (LIMIT + 1))), 413)
    check_refusal(server.ask(chunked("/", b"x" * LIMIT, b"x")), 413)


def test_a_client_that_sends_all_of_a_large_body_first_can_read_the_refusal(server: Server) -> None:
    check_refusal(server.ask(post("/", b"x" * (4 << 20))), 413)


@pytest.mark.parametrize(
    "request_bytes",
    [post("/x", b"hello"), chunked("/x", b"he", b"llo"), chunked("/x", b"hello", trailer=b"A: b\r\n")],
    ids=["counted", "chunked", "trailer"],
)
def test_a_request_may_come_byte_by_byte(server: Server, request_bytes: bytes) -> None:
    with server.client() as client:
        client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in request_bytes:
            client.send(bytes([byte]))
        reply = client.reply()
    assert reply is not None
    assert reply.json()["length"] == 5


def test_a_connection_is_kept(server: Server) -> None:
    with server.client() as client:
        for request in (post("/a", b"123"), chunked("/b", b"12"), b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n"):
            client.send(request)
            reply = client.reply()
            assert reply is not None
            assert reply.headers["connection"] == "keep-alive"
        client.send("GET / HTTP/1.0\r\n\r\n")
        reply = client.reply()
        assert reply is not None
        assert reply.headers["connection"] == "close"
        assert client.ended()


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with server.client() as client:
        requests = [f(f"/{n}", b"z" * n) for n in range(1, 9) for f in (post, chunked)]
        client.send(b"".join(requests))
        told = []
        for _ in requests:
            reply = client.reply()
            assert reply is not None
            told.append((reply.json()["PATH_INFO"], reply.json()["length"]))
    assert told == [(f"/{n}", n) for n in range(1, 9) for _ in range(2)]


def test_a_refused_request_ends_a_pipeline(server: Server) -> None:
    with server.client() as client:
        client.send(post("/a", b"1") + b"GET /b c HTTP/1.1\r\nHost: x\r\n\r\n" + post("/d", b"1"))
        first = client.reply()
        assert first is not None
        assert first.status == 200
        check_refusal(client.reply(), 400)
        assert client.ended()


def test_a_client_may_end_its_side_after_the_request(server: Server) -> None:
    with server.client() as client:
        client.send(post("/", b"123"))
        client.sock.shutdown(1)
        reply = client.reply()
        assert reply is not None
        assert reply.json()["length"] == 3
        assert client.ended()


def test_the_body_is_invited_once(server: Server) -> None:
    with server.client() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        invitation = client.reply(head=True)
        assert invitation is not None
        assert invitation.status == 100
        client.send("hello")
        reply = client.reply()
        assert reply is not None
        assert reply.json()["length"] == 5


def test_no_body_is_invited_that_is_too_large(server: Server) -> None:
    with server.client() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        check_refusal(client.reply(), 413)
        assert client.ended()


@pytest.mark.parametrize("path", ["/Get Data", "/get data/", "/System Prompt Get Data", "/SYSTEM PROMPT GET DATA/"])
@pytest.mark.parametrize("query", ["", "?subscription-key=k&a=%20"])
def test_the_two_paths_may_have_raw_spaces(server: Server, path: str, query: str) -> None:
    told = server.ask(post(path + query, b"{}")).json()
    assert told["PATH_INFO"] == path
    assert told["QUERY_STRING"] == query.removeprefix("?")
    assert told["length"] == 2


@pytest.mark.parametrize("path", ["/Get  Data", "/Get Data /", "/Get Data/x", "/v1/Get Data", "/System Prompt"])
def test_no_other_path_may(server: Server, path: str) -> None:
    check_refusal(server.ask(post(path, b"{}")), 400, openai=path.startswith("/v1/"))


def test_encoded_spaces_and_one_empty_line_before_are_fine(server: Server) -> None:
    assert server.ask(b"\r\n" + post("/Get%20Data", b"")).json()["PATH_INFO"] == "/Get Data"


def test_a_unix_socket_serves_as_well(server: Server) -> None:
    for request, status in ((post("/x", b"hello"), 200), (b"nonsense\r\n\r\n", 400)):
        with Client(server.unix_socket) as client:
            client.send(request)
            reply = client.reply()
            assert reply is not None
            assert reply.status == status
