"""What is offered to a client's socket goes out once, whoever sends the rest of it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from deploy.worker.answer_socket import AnswerSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
LARGE = bytes(range(256)) * 8192  # 2 MiB: more than any buffer here takes


@pytest.fixture
def pair() -> Iterator[tuple[AnswerSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(PATIENCE)
        yield AnswerSocket(ours, PATIENCE), theirs


def read(sock: socket.socket, number: int) -> bytes:
    found = b""
    while len(found) < number:
        found += sock.recv(1 << 20)
    return found


def test_nothing_goes_out_before_the_head(pair: tuple[AnswerSocket, socket.socket]) -> None:
    answer, client = pair
    assert not answer.offer(b"too early")
    answer.sendall(b"head ")  # is kept for what follows
    assert not answer.offer(b"too early")
    answer.sendall(b"first ")
    assert answer.offer(b"second")
    assert read(client, 17) == b"head first second"


def test_what_was_taken_of_a_piece_is_not_sent_again(pair: tuple[AnswerSocket, socket.socket]) -> None:
    answer, client = pair
    answer.sendall(b"head")
    answer.flush()
    assert not answer.offer(LARGE)
    assert not answer.offer(b"something else")  # not before the rest
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(read, client, 4 + len(LARGE))
        answer.sendall(LARGE)
        assert found.result(PATIENCE) == b"head" + LARGE
    assert answer.offer(b"more")
    assert read(client, 4) == b"more"


def test_a_client_that_is_gone_is_told_to_whoever_writes(pair: tuple[AnswerSocket, socket.socket]) -> None:
    answer, client = pair
    answer.sendall(b"head")
    answer.flush()
    client.close()
    assert not answer.offer(b"piece")
    with pytest.raises(BrokenPipeError):
        answer.sendall(b"piece")
