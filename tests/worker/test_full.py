"""More requests than threads, and more connections than may be: told at once, and what is vital is served."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.worker.server import Client, Server, check_refusal, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THREADS, CONNECTIONS, BEYOND = 4, 16, 4
MOST = THREADS + 1  # with one more for a client that asks again before its thread is free
GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {"threads": THREADS, "worker_connections": CONNECTIONS, "connections_beyond": BEYOND}
    with running(tmp_path, read_timeout=60, **settings) as started:
        yield started


@contextlib.contextmanager
def busy(server: Server) -> Iterator[list[Client]]:
    """As many clients as are served at a time, each in the middle of an answer."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(MOST)]
        for client in clients:
            client.send(GET.format("/steps"))
            client.reply(head=True)
            assert client.chunk() == b"begun"
        yield clients


def test_a_request_that_finds_no_thread_is_told_when_to_come_back(server: Server) -> None:
    with busy(server) as clients:
        before = server.state()["served"]
        for _ in range(3):
            refused = check_refusal(server.get("/"), 503)
            assert refused.headers["retry-after"] == "7"
        assert server.state()["served"] == before
        os.kill(server.state()["pid"], signal.SIGUSR2)  # releases what is held, see helper_app
        for client in clients:
            assert client.chunk() == b"ended"
            assert client.chunk() == b""
        for _ in range(2 * THREADS):
            assert server.get("/").status == 200


def test_requests_with_faulty_bodies_get_few_threads(server: Server) -> None:
    """Their deadlines pass together: a crowd of slow clients must not take the threads of others."""

    def faulty(path: str) -> str:
        return f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"

    with server.client() as first:
        first.send(faulty("/steps"))
        first.reply(head=True)
        assert first.chunk() == b"begun"  # by the application, which does not read the body
        check_refusal(server.ask(faulty("/lingers")), 400)
        assert server.ask(faulty("/state")).status == 200  # has threads of its own
        assert server.get("/").status == 200
        os.kill(server.state()["pid"], signal.SIGUSR2)  # releases what is held, see helper_app
        assert first.chunk() == b"ended"
    wait_until(lambda: server.ask(faulty("/lingers")).status == 200, "the place of the first")


def test_connections_beyond_the_most_are_refused_and_not_kept_waiting(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(server.client()).send("GET / HTTP/1.1\r\nX-Half: a")
        for _ in range(2 * BEYOND):
            check_refusal(server.get("/"), 503)
        assert server.get("/state").status == 200


def test_beyond_those_the_kernel_keeps_clients_waiting_until_one_leaves(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(server.client()) for _ in range(CONNECTIONS + BEYOND)]
        for client in crowd:
            client.send("GET / HTTP/1.1\r\nX-Half: a")
        with server.client() as waiting:
            waiting.send(GET.format("/state"))
            waiting.sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.sock.recv(1)
            waiting.sock.settimeout(15)
            crowd[0].close()
            reply = waiting.reply()
            assert reply is not None
            assert reply.status == 200
