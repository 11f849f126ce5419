"""Slow and idle clients hold neither a thread nor the main loop."""

from __future__ import annotations

import contextlib
import select
import time
from typing import TYPE_CHECKING

import pytest

from tests.worker.server import PATIENCE, Client, Server, check_refusal, running

if TYPE_CHECKING:
    from collections.abc import Iterator

CROWD = 24  # of each kind; the server has 4 threads

HEAD = "POST / HTTP/1.1\r\nHost: x\r\n"
SLOW = {
    "head": "GET / HTTP/1.1\r\nX-Half: a",
    "body": HEAD + "Content-Length: 10\r\n\r\nhalf",
    "chunk": HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nha",
}


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose deadlines are far off: what it does promptly, it does not do because one passed."""
    with running(tmp_path_factory.mktemp("patient"), read_timeout=4 * PATIENCE, keepalive=60) as started:
        yield started


@pytest.fixture
def crowd(patient: Server) -> Iterator[list[Client]]:
    """Many clients that sent half a request, and some that sent nothing."""
    with contextlib.ExitStack() as stack:
        clients = []
        for beginning in [*SLOW.values(), ""] * CROWD:
            client = stack.enter_context(patient.client())
            client.send(beginning)
            clients.append(client)
        yield clients


def test_a_healthy_request_passes_a_crowd_of_slow_ones(patient: Server, crowd: list[Client]) -> None:
    for _ in range(8):  # twice as many as there are threads
        assert patient.get("/").status == 200
    for client in crowd[: len(SLOW)]:
        client.sock.setblocking(False)  # noqa: FBT003
        with pytest.raises(BlockingIOError):  # still waited for: neither answered nor closed
            client.sock.recv(1)


def test_a_slow_request_is_served_once_it_is_whole(crowd: list[Client]) -> None:
    for client, rest in zip(crowd, ["\r\nHost: x\r\n\r\n", "-whole", "lf!\r\n0\r\n\r\n"], strict=False):
        client.send(rest)
        reply = client.reply()
        assert reply is not None
        assert reply.status == 200


def test_clients_that_do_not_close_delay_nobody(patient: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            client = stack.enter_context(patient.client())
            client.send("nonsense\r\n\r\n")
            check_refusal(client.reply(), 400)  # and then stay
        before = patient.state()["served"]
        assert patient.get("/").status == 200
        assert patient.state()["served"] == before + 1


def test_a_request_that_stays_incomplete_is_408(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in SLOW]
        for client, beginning in zip(clients, SLOW.values(), strict=True):
            client.send(beginning)
        for client in clients:
            check_refusal(client.reply(), 408)
            assert client.ended()


def test_a_dribble_does_not_move_the_deadline(server: Server) -> None:
    before = server.state()["served"]
    beginnings = [
        "GET / HTTP/1.1\r\nX-Half: a",
        HEAD + "Content-Length: 1000\r\n\r\n",
        HEAD + "Transfer-Encoding: chunked\r\n\r\nfff\r\n",
    ]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in beginnings]
        for client, beginning in zip(clients, beginnings, strict=True):
            client.send(beginning)
        waiting = set(clients)
        started = time.monotonic()
        while waiting and time.monotonic() < started + PATIENCE:
            answered, _, _ = select.select([client.sock for client in waiting], [], [], 0.05)
            waiting = {client for client in waiting if client.sock not in answered}
            for client in waiting:
                client.send("1")
        assert not waiting  # each was answered while it went on sending
        for client in clients:
            check_refusal(client.reply(), 408)
    assert server.state()["served"] == before


def test_a_new_connection_that_says_nothing_is_closed_without_a_word(server: Server) -> None:
    with server.client() as client:
        assert client.reply() is None


def test_a_kept_connection_is_closed_after_keepalive(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        running(tmp_path_factory.mktemp("short"), keepalive=1, read_timeout=60) as server,
        server.client() as client,
    ):
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.reply() is not None
        assert client.reply() is None
