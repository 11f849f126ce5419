"""EngineCore's wait for requests, on real sockets."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest
import zmq

from gateway.engines.vllm.polling import Poller
from tests.worker.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]

SOCKETS = 16


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[list[Pair]]:
    """What clients send on, and what is read from, in a context of its own, as in another process."""
    with zmq.Context() as clients, zmq.Context() as reader:
        found = []
        for number in range(SOCKETS):
            client, reading = clients.socket(zmq.DEALER), reader.socket(zmq.DEALER)
            client.bind(f"ipc://{tmp_path}/{number}")
            reading.connect(f"ipc://{tmp_path}/{number}")
            found.append((client, reading))
        yield found
        for client, reading in found:
            client.close(linger=0)
            reading.close(linger=0)


def polling(pairs: list[Pair]) -> Poller:
    poller = Poller()
    for _, reading in pairs:
        poller.register(reading, zmq.POLLIN)
    return poller


def test_nothing_is_lost_and_all_comes_in_order(pairs: list[Pair]) -> None:
    """One message of a socket at a time is read, as EngineCore does it, while others come on all of them."""
    each, poller = 400, polling(pairs)
    read: dict[int, list[int]] = {number: [] for number in range(SOCKETS)}

    def read_all() -> None:
        numbers = {reading: number for number, (_, reading) in enumerate(pairs)}
        while sum(map(len, read.values())) < SOCKETS * each:
            for socket, events in poller.poll():
                assert events == zmq.POLLIN
                read[numbers[socket]].append(int(socket.recv(zmq.NOBLOCK)))

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    order = [number for number in range(SOCKETS) for _ in range(each)]
    random.Random(7).shuffle(order)  # noqa: S311
    sent = [0] * SOCKETS
    for number in order:
        pairs[number][0].send(str(sent[number]).encode())
        sent[number] += 1
    reader.join(60)
    assert not reader.is_alive()
    assert read == {number: list(range(each)) for number in range(SOCKETS)}


def test_what_came_before_it_was_registered_is_found(pairs: list[Pair]) -> None:
    client, reading = pairs[0]
    client.send(b"first")
    assert reading.recv() == b"first"
    client.send(b"second")
    assert reading.poll(60_000)
    assert polling(pairs).poll() == [(reading, zmq.POLLIN)]


def test_what_waits_on_one_keeps_nobody_waiting(pairs: list[Pair]) -> None:
    """One whose messages are never read is told of each time, and so are the others."""
    poller = polling(pairs)
    (busy, unread), (other, heard) = pairs[:2]
    busy.send(b"unread")
    assert [socket for socket, _ in poller.poll()] == [unread]
    other.send(b"heard")
    wait_until(lambda: {socket for socket, _ in poller.poll()} == {unread, heard}, "the other one")


def test_only_what_comes_in_can_be_waited_for(pairs: list[Pair]) -> None:
    with pytest.raises(ValueError, match="POLLIN"):
        Poller().register(pairs[0][1], zmq.POLLOUT)
