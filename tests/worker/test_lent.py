"""A connection is lent to a thread, and back as soon as its answer is out; what the thread does then is not lost."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.worker.helper_app import CANARY
from tests.worker.server import PATIENCE, check_refusal, running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.server import Client

THREADS = 4
MOST = THREADS + 1  # see deploy.worker
GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("by_turns", [False, True])
def test_the_next_request_does_not_wait_for_the_log_line_of_the_last(tmp_path: Path, by_turns: bool) -> None:  # noqa: FBT001
    with running(tmp_path, by_turns=by_turns) as server, server.client() as client:
        for path in ("/lingers", "/"):
            client.send(GET.format(path))
            reply = client.reply()
            assert reply is not None
            assert reply.status == 200
        assert server.state()["closed"] == []
        client.send(GET.format("/release"))
        client.reply()
        wait_until(lambda: server.state()["closed"] == ["/lingers"], "its end")


@pytest.mark.parametrize("by_turns", [False, True])
def test_what_fails_after_an_answer_is_told_and_harms_nobody(tmp_path: Path, by_turns: bool) -> None:  # noqa: FBT001
    with running(tmp_path, threads=THREADS, by_turns=by_turns) as server, server.client() as client:
        for _ in range(4 * MOST):  # more than may be left at a time, and than there are threads
            client.send(GET.format("/breaks"))
            reply = client.reply()
            assert reply is not None
            assert reply.status == 200
        wait_until(lambda: server.log().count("OSError") == 4 * MOST, "all of them in the log")
        assert len(server.state()["closed"]) == 4 * MOST
        assert CANARY not in server.log()
        server.process.terminate()
        assert server.process.wait(PATIENCE) == 0  # nothing is thought to be under way


def test_threads_that_are_not_done_are_no_free_threads(tmp_path: Path) -> None:
    with running(tmp_path, threads=THREADS) as server:
        for _ in range(2 * MOST):
            # Again, where the thread that answered whether the server is up is not done itself yet.
            wait_until(lambda: server.get("/lingers").status == 200, "a thread")
        check_refusal(server.get("/"), 503)
        assert server.state()["closed"] == []  # whoever looks after the server has threads of its own
        os.kill(server.state()["pid"], signal.SIGUSR2)  # releases what is held, see helper_app
        wait_until(lambda: server.get("/").status == 200, "a free thread")


def test_log_lines_get_their_turn_however_many_ask(tmp_path: Path) -> None:
    """Those who ask come first. If they always did, the lines of what is answered would take all threads in the end."""

    def ask(_: int) -> list[int]:
        with server.client() as client:
            return [status_of(client) for _ in range(400)]

    def status_of(client: Client) -> int:
        client.send(GET.format("/"))
        reply = client.reply()
        return 0 if reply is None else reply.status

    with running(tmp_path, threads=THREADS, by_turns=True) as server, ThreadPoolExecutor(THREADS) as callers:
        assert set(chain(*callers.map(ask, range(THREADS)))) == {200}


def test_a_stop_waits_for_what_is_done_after_an_answer(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        worker = server.state()["pid"]
        with server.client() as client:
            client.send(GET.format("/lingers"))
            client.reply()
        server.process.terminate()
        wait_until(lambda: "Handling signal: term" in server.log(), "the stop")
        assert "lingered" not in server.log()
        os.kill(worker, signal.SIGUSR2)
        assert server.process.wait(PATIENCE) == 0
        assert "lingered" in server.log()
