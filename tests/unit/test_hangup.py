"""A caller that hangs up is noticed, over real sockets; one that stays is left alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from app.hangup import HangupWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20  # seconds until a missing event counts as one that never comes


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return server, client


@pytest.fixture(params=[socket.socketpair, tcp_pair], ids=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = request.param()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def watcher() -> HangupWatcher:
    return HangupWatcher()


class Calls:
    """Counts how often a caller was said to be gone."""

    def __init__(self) -> None:
        self.count = 0
        self.happened = threading.Event()

    def __call__(self) -> None:
        """Count one."""
        self.count += 1
        self.happened.set()


def settle(watcher: HangupWatcher) -> None:
    """Wait until the watcher has been through all that happened so far: it sees a later hang-up."""
    ours, theirs = socket.socketpair()
    calls = Calls()
    with ours, watcher.watch(ours, calls):
        theirs.close()
        assert calls.happened.wait(PATIENCE)


def test_a_peer_that_closes_is_gone_and_that_is_told_once(
    watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    calls = Calls()
    with watcher.watch(ours, calls):
        theirs.close()
        assert calls.happened.wait(PATIENCE)
        settle(watcher)
    assert calls.count == 1


def test_a_peer_that_was_gone_before_is_noticed(
    watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.close()
    calls = Calls()
    with watcher.watch(ours, calls):
        assert calls.happened.wait(PATIENCE)


def test_a_reset_connection_is_noticed(watcher: HangupWatcher) -> None:
    ours, theirs = tcp_pair()
    calls = Calls()
    with ours, watcher.watch(ours, calls):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        assert calls.happened.wait(PATIENCE)


def test_a_peer_that_stays_is_left_alone_whatever_it_sends(
    watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    calls = Calls()
    with watcher.watch(ours, calls):
        theirs.sendall(b"the next request")
        ours.sendall(b"a piece of the answer")
        settle(watcher)
    assert calls.count == 0


def test_after_the_block_nothing_is_told(watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    calls = Calls()
    with watcher.watch(ours, calls):
        pass
    theirs.close()
    settle(watcher)
    assert calls.count == 0


def test_a_connection_is_watched_again_for_its_next_request(
    watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    for _ in range(3):
        with watcher.watch(ours, Calls()):
            pass
    calls = Calls()
    with watcher.watch(ours, calls):
        theirs.close()
        assert calls.happened.wait(PATIENCE)


def test_a_block_that_raises_ends_its_watch(watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    calls = Calls()
    with contextlib.suppress(KeyError), watcher.watch(ours, calls):
        raise KeyError
    theirs.close()
    settle(watcher)
    assert calls.count == 0


def test_many_connections_are_told_apart(watcher: HangupWatcher) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    calls = [Calls() for _ in pairs]
    with contextlib.ExitStack() as stack:
        for (ours, theirs), call in zip(pairs, calls, strict=True):
            stack.enter_context(ours)
            stack.enter_context(theirs)
            stack.enter_context(watcher.watch(ours, call))
        for _, theirs in pairs[::2]:
            theirs.close()
        assert all(call.happened.wait(PATIENCE) for call in calls[::2])
        settle(watcher)
    assert [call.count for call in calls] == [1, 0] * 10


def test_without_a_socket_nothing_is_watched(watcher: HangupWatcher) -> None:
    closed = socket.socket()
    closed.close()
    calls = Calls()
    before = threading.active_count()
    for nothing in (None, closed):
        with watcher.watch(nothing, calls):
            pass
    assert threading.active_count() == before
    assert calls.count == 0


def test_a_socket_closed_by_the_server_meanwhile_does_no_harm(watcher: HangupWatcher) -> None:
    ours, theirs = socket.socketpair()
    with theirs, watcher.watch(ours, Calls()):
        ours.close()
    settle(watcher)


def test_the_end_of_a_watch_leaves_the_next_connection_with_its_number_alone(watcher: HangupWatcher) -> None:
    ours, theirs = socket.socketpair()
    first = watcher.watch(ours, Calls())
    first.__enter__()
    number = ours.fileno()
    ours.close()
    theirs.close()
    fresh, peer = socket.socketpair()
    with socket.socket(fileno=os.dup2(fresh.fileno(), number)) if fresh.fileno() != number else fresh as second:
        assert second.fileno() == number
        calls = Calls()
        with watcher.watch(second, calls):
            first.__exit__(None, None, None)
            peer.close()
            assert calls.happened.wait(PATIENCE)
    fresh.close()


def test_a_call_that_fails_does_not_end_the_watch_over_the_others(
    watcher: HangupWatcher, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pair
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise RuntimeError("canary")

    with caplog.at_level(logging.WARNING), watcher.watch(ours, fail):
        theirs.close()
        assert failed.wait(PATIENCE)
        settle(watcher)
    assert "RuntimeError" in caplog.text
    assert "canary" not in caplog.text
