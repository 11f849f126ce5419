"""Row 15: the same Idempotency-Key again: after its answer, while it is made, and after whoever made it was killed.

That an answer is kept for 24 hours is in `test_disk_and_clock.py`, which has a gateway with a clock to move.
"""

from __future__ import annotations

import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import gone, pid_of, processes
from tests.real.callers import ADMIN_TOKEN, CHAT, GET_DATA, LONG, caller_with, get, usage_of
from tests.real.repeats import QUOTA, ask, check_one_charge, new_key, streamed, until_answered
from tests.server import end, launch, running, wait_for, wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.figures import Figure
    from tests.real.callers import Caller
    from tests.server import GatewayServer, Reply

SHORT, FULL = 8, 200  # keys
AT_ONCE = 4  # callers of a key
KEYS_AT_ONCE = 4
WAYS = pytest.mark.parametrize(("path", "stream"), [(GET_DATA, False), (CHAT, True)], ids=["whole", "streamed"])


def test_a_key_that_comes_again_gets_the_same_answer_for_one_charge(
    gateway: GatewayServer, figure: Figure, *, full: bool
) -> None:
    caller = caller_with(gateway, tokenQuota={**QUOTA, "amount": 1_000_000})

    def play(number: int) -> tuple[list[Reply], int]:
        """One key: several callers at once, one more once it is answered, and one with another body; its status."""
        key, path = new_key(), (GET_DATA, CHAT)[number % 2]
        more = streamed(path) if number % 4 > 1 else {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            replies = list(pool.map(lambda _: ask(caller, key, path, **more), range(AT_ONCE)))
        replies.append(ask(caller, key, path, **more))
        return replies, ask(caller, key, path, prompt="Something else", **more).status

    keys = FULL if full else SHORT
    with ThreadPoolExecutor(KEYS_AT_ONCE) as pool:
        played = list(pool.map(play, range(keys)))
    charged = [row for row in caller.rows() if row["completion_tokens"]]
    replies = [reply for group, _ in played for reply in group]
    same = sum(len({reply.content for reply in group}) == 1 for group, _ in played)
    others = sum(status == 400 for _, status in played)
    figure(
        15,
        f"{keys} keys, each of {AT_ONCE} callers at once and one later: {same} times the same bytes for all, "
        f"{len(charged)} charges; with another body {others} times 400",
    )
    assert {reply.status for reply in replies} == {200}
    assert same == others == keys
    assert sum("Idempotent-Replayed" not in reply.headers for reply in replies) == keys
    assert [row["status"] for row in charged] == [200] * keys
    assert caller.usage()["totalTokens"] == sum(usage_of(group[0])["total_tokens"] for group, _ in played)


def _cut_off(caller: Caller, key: str, kill: str, **more: Any) -> int | None:
    """The status that a long call gets whose process is killed once the engine has it; None for none."""
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(ask, caller, key, **more)
        wait_for(lambda: any(row["prompt_tokens"] for row in caller.rows()), "the call")
        os.kill(pid_of(caller.server, kill), signal.SIGKILL)
        with suppress(OSError, http.client.HTTPException):
            return cut.result(30).status
    return None


@WAYS
def test_after_a_killed_worker_the_same_key_is_made_anew_for_one_charge(
    gateway: GatewayServer, figure: Figure, path: str, *, stream: bool
) -> None:
    caller, key = caller_with(gateway, tokenQuota=QUOTA), new_key()
    more: dict[str, Any] = {"path": path, "prompt": LONG, "max_tokens": 400, **(streamed(path) if stream else {})}
    assert _cut_off(caller, key, "worker [", **more) is None
    killed = time.monotonic()
    reply = until_answered(caller, key, **more)
    kind = "a stream" if stream else "an answer"
    figure(15, f"after a killed worker {kind} anew within {time.monotonic() - killed:.1f} s, for one charge")
    check_one_charge(caller, reply)
    assert ask(caller, key, **more).content == reply.content


def test_after_a_killed_engine_the_same_key_is_made_anew_for_one_charge(gateway: GatewayServer, figure: Figure) -> None:
    caller, key = caller_with(gateway, tokenQuota=QUOTA), new_key()
    more: dict[str, Any] = {"prompt": LONG, "max_tokens": 400}
    assert _cut_off(caller, key, "EngineCore", **more) == 503
    killed = time.monotonic()
    reply = until_answered(caller, key, **more)
    figure(15, f"after a killed engine within {time.monotonic() - killed:.1f} s")
    check_one_charge(caller, reply)
    wait_for(lambda: get(gateway, "/health/ready", {}).status == 200, "the new engine", 60)


def test_what_was_answered_before_a_worker_was_killed_is_answered_the_same(gateway: GatewayServer) -> None:
    caller, key = caller_with(gateway, tokenQuota=QUOTA), new_key()
    first = ask(caller, key)
    os.kill(pid_of(gateway, "worker ["), signal.SIGKILL)
    again = until_answered(caller, key)
    assert again.content == first.content
    assert caller.usage()["calls"] == 1
    wait_for(lambda: get(gateway, "/health/ready", {}).status == 200, "the new worker", 60)


def test_after_all_of_the_gateway_was_killed_what_was_whole_is_the_same_and_what_was_not_is_made_anew(
    tmp_path: Path, figure: Figure
) -> None:
    server = launch(tmp_path, GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN)
    try:
        wait_until_ready(server)
        one, other = caller_with(server, tokenQuota=QUOTA), caller_with(server, tokenQuota=QUOTA)
        whole, cut = new_key(), new_key()
        more: dict[str, Any] = {"prompt": LONG, "max_tokens": 400}
        first = ask(one, whole)
        everything = set(processes(server))
        with ThreadPoolExecutor(1) as pool:
            unanswered = pool.submit(ask, other, cut, **more)
            wait_for(lambda: any(row["prompt_tokens"] for row in other.rows()), "the call")
            os.killpg(server.process.pid, signal.SIGKILL)
            with pytest.raises((OSError, http.client.HTTPException)):
                unanswered.result(30)
        wait_for(lambda: gone(everything), "the end of every process", 10)
    finally:
        end(server)
    with running(tmp_path, GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN) as anew:
        one, other = replace(one, server=anew), replace(other, server=anew)
        ready = time.monotonic()
        again = until_answered(one, whole)
        reply = until_answered(other, cut, **more)
        figure(
            15,
            f"after a kill of every process, once it served again, the same answer at once and one that was cut off "
            f"anew within {time.monotonic() - ready:.1f} s, for one charge",
        )
        assert again.content == first.content
        assert one.usage()["calls"] == 1
        check_one_charge(other, reply)
