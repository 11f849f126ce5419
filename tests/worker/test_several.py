"""Two workers on one port: whoever would serve a new connection gets it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from typing import TYPE_CHECKING

from tests.worker.server import check_refusal, running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.server import Server

THREADS = 4
MOST = THREADS + 1  # with one more for a client that asks again before its thread is free
WORKERS = 2
STEPS = "GET /steps HTTP/1.1\r\nHost: x\r\n\r\n"


def test_no_request_is_refused_while_another_worker_has_a_thread(tmp_path: Path) -> None:
    with running(tmp_path, workers=WORKERS, threads=THREADS) as server, contextlib.ExitStack() as stack:
        both = {_worker_at(server, 0), _worker_at(server, 1)}
        wait_until(lambda: {server.state()["pid"] for _ in range(20)} == both, "an answer of each")
        clients = [stack.enter_context(server.client()) for _ in range(WORKERS * MOST)]
        for client in clients:
            client.send(STEPS)
            reply = client.reply(head=True)
            assert reply is not None
            assert reply.status == 200
        for _ in range(3):
            check_refusal(server.get("/"), 503)


def test_a_worker_that_is_not_ready_leaves_what_comes_to_one_that_is(tmp_path: Path) -> None:
    with running(tmp_path, workers=WORKERS, ready=[1]) as server:
        ready = _worker_at(server, 1)
        wait_until(lambda: server.state()["pid"] == ready, "the one that is ready")
        assert {server.state()["pid"] for _ in range(50)} == {ready}


def test_where_none_is_ready_every_worker_takes_what_comes(tmp_path: Path) -> None:
    with running(tmp_path, workers=WORKERS, ready=[]) as server:
        both = {_worker_at(server, 0), _worker_at(server, 1)}
        with contextlib.ExitStack() as stack:  # so many that one alone has no thread for them
            for client in [stack.enter_context(server.client()) for _ in range(WORKERS * MOST)]:
                client.send(STEPS)
                client.reply(head=True)
            wait_until(lambda: {server.state()["pid"] for _ in range(20)} == both, "an answer of each")


def test_one_that_was_killed_holds_nothing_up(tmp_path: Path) -> None:
    with running(tmp_path, workers=WORKERS, ready=[1]) as server:
        ready = _worker_at(server, 1)
        wait_until(lambda: server.state()["pid"] == ready, "the one that is ready")
        os.kill(ready, signal.SIGKILL)
        assert server.get("/").status == 200
        wait_until(lambda: _worker_at(server, 1) != ready, "its successor, in its place")
        wait_until(lambda: server.state()["pid"] == _worker_at(server, 1), "an answer of that")


def _worker_at(server: Server, place: int) -> int:
    """The process that has a place now."""
    found = wait_until(lambda: re.findall(rf"place {place} has (\d+)", server.log()), f"a worker at {place}")
    return int(found[-1])
