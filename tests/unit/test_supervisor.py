"""The engine host is started while gunicorn forks workers: neither may get in the other's way."""

from __future__ import annotations

import os
import threading

from gateway.engines.vllm import supervisor


def test_a_fork_waits_until_the_host_is_started() -> None:
    forked = threading.Event()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if supervisor._starting.acquire(blocking=False) else 1)  # noqa: SLF001 - free in the child
        forked.set()
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    statuses: list[int] = []
    thread = threading.Thread(target=fork)
    with supervisor._starting:  # noqa: SLF001 - as while `Popen` runs
        thread.start()
        assert not forked.wait(0.2)
    thread.join(10)
    assert statuses == [0]
    assert not supervisor._starting.locked()  # noqa: SLF001
