"""What happens while a client is being answered."""

from __future__ import annotations

import pytest

from tests.worker.helper_app import CANARY, OFFERED
from tests.worker.server import Client, Server, wait_until


def get(path: str, version: str = "1.1") -> str:
    return f"GET {path} HTTP/{version}\r\nHost: x\r\n\r\n"


def read_all(client: Client) -> None:
    while client.sock.recv(1 << 20):
        pass


def test_a_stream_is_sent_piece_by_piece(server: Server) -> None:
    with server.client() as client:
        client.send(get("/steps"))
        reply_head = client.reply(head=True)
        assert reply_head is not None
        assert client.chunk() == b"begun"  # the application waits for the release now
        server.get("/release")
        assert client.chunk() == b"ended"
        assert client.chunk() == b""


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_piece_that_another_thread_sends_is_a_piece_like_any(server: Server, version: str) -> None:
    with server.client() as client:
        client.send(get("/offered", version))
        reply = client.reply()
        assert reply is not None
        assert reply.whole
        *pieces, told = reply.body.partition(b"taken: ")
        # The large one does not go out at once: the thread that waits sends the rest of it.
        assert b"".join(pieces) == b"begun" + b"".join(OFFERED) + b"taken: "
        assert told == str(len(OFFERED) - 1).encode()


def test_the_application_sees_a_hang_up(server: Server) -> None:
    before = server.state()["hung_up"]
    with server.client() as client:
        client.send(get("/watch") + "GET /pipelined")  # what waits behind the request must not hide it
        client.reply(head=True)
        assert client.chunk() == b"begun"
    wait_until(lambda: server.state()["hung_up"] > before, "the hang-up")
    wait_until(lambda: "/watch" in server.state()["closed"], "the iterator's close()")


def test_a_reader_that_never_reads_is_given_up(server: Server) -> None:
    clients = [server.client() for _ in range(4)]  # as many as there are threads
    for client in clients:
        client.send(get("/endless"))
    wait_until(lambda: server.state()["closed"].count("/endless") == len(clients), "the iterators' close()")
    for client in clients:
        with pytest.raises(ConnectionResetError):
            read_all(client)
        client.close()
    assert "client gone" in server.log()


def test_a_stream_that_fails_is_no_success(server: Server) -> None:
    with server.client() as client:
        client.send(get("/fails"))
        reply = client.reply()
        assert reply is not None
        assert reply.body == b"firstsecond"  # what was sent arrives
        assert not reply.whole  # and the last chunk does not
    assert "/fails" in server.state()["closed"]
    wait_until(lambda: "response broken off" in server.log(), "the record")
    assert CANARY not in server.log()


def test_a_stream_that_fails_is_no_success_without_chunks_either(server: Server) -> None:
    with server.client() as client:
        client.send(get("/fails", "1.0"))
        with pytest.raises(ConnectionResetError):
            read_all(client)


def test_an_answer_shorter_than_declared_ends_the_connection(server: Server) -> None:
    with server.client() as client:
        client.send(get("/short"))
        reply = client.reply()
        assert reply is not None
        assert not reply.whole
