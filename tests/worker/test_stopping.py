"""SIGTERM, Ctrl-C, and workers that end after max_requests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.worker.server import PATIENCE, Server, check_refusal, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One for each test: none survives it."""
    with running(tmp_path, read_timeout=20.0) as started:
        yield started


def term_to_master(server: Server) -> None:
    server.process.terminate()


def interrupt_to_group(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGINT)


def interrupt_to_master(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("stop", [term_to_master, interrupt_to_group, interrupt_to_master])
def test_running_requests_end_whole_and_new_ones_get_503(server: Server, stop: Callable[[Server], None]) -> None:
    with server.client() as held, server.client() as half:
        half.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nha")
        held.send(GET.format("/steps"))
        held.reply(head=True)
        assert held.chunk() == b"begun"

        stop(server)
        refused = wait_until(lambda: refused_by(server), "a 503")
        assert refused.headers["retry-after"] == "1"
        half.send("lf")
        reply = half.reply()
        assert reply is not None
        assert reply.json()["length"] == 4
        assert reply.headers["connection"] == "close"

        os.kill(worker_of(server), signal.SIGUSR2)  # releases what is held, see helper_app
        assert held.chunk() == b"ended"
        assert held.chunk() == b""
    assert server.process.wait(PATIENCE) == 0
    assert not server.group()


def refused_by(server: Server) -> object:
    reply = server.get("/")
    return check_refusal(reply, 503) if reply.status != 200 else None


def worker_of(server: Server) -> int:
    (worker,) = [pid for pid in server.group() if pid != server.process.pid]
    return worker


def test_idle_connections_do_not_hold_a_stop_up(server: Server) -> None:
    with server.client() as kept, server.client() as new:
        kept.send(GET.format("/"))
        assert kept.reply() is not None
        server.process.terminate()
        assert kept.ended()
        assert new.ended()
        assert server.process.wait(PATIENCE) == 0


def test_a_worker_that_still_loads_stops_at_once(tmp_path: Path) -> None:
    with running(tmp_path, loading=4 * PATIENCE) as server:
        interrupt_to_group(server)
        assert server.process.wait(PATIENCE) == 0
        assert not server.group()


def test_interrupting_the_worker_alone_drains_it_and_refuses_nobody(server: Server) -> None:
    old = server.state()["pid"]
    with server.client() as held:
        held.send(GET.format("/steps"))
        held.reply(head=True)
        assert held.chunk() == b"begun"
        os.kill(old, signal.SIGINT)
        os.kill(old, signal.SIGUSR2)
        assert held.chunk() == b"ended"
        assert held.chunk() == b""
    # The old worker may take one that comes with the signal; the rest wait for the new worker. None gets 503.
    wait_until(lambda: server.state()["pid"] != old, "the new worker")


def test_a_second_interrupt_does_not_wait(server: Server) -> None:
    with server.client() as held:
        held.send(GET.format("/steps"))
        held.reply(head=True)
        interrupt_to_group(server)
        wait_until(lambda: refused_by(server), "a 503")
        interrupt_to_group(server)
        server.process.wait(PATIENCE)
        assert "Quick shutdown" in server.log()
        assert held.chunk() == b"begun"
        assert held.chunk() is None
    assert not server.group()


def test_a_worker_ends_after_max_requests_and_another_follows(tmp_path: Path) -> None:
    with running(tmp_path, max_requests=4) as server:
        pids = {server.state()["pid"] for _ in range(9)}
    assert len(pids) > 1
