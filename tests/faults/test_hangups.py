"""Row 9: callers hang up at random moments."""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING

from tests.faults.crowd import Exchange, post
from tests.faults.streams import check_counts, tokens_of
from tests.real.callers import CHAT, COMPLETIONS, GET_DATA, LONG, body, caller_with
from tests.real.test_metrics import figures as metrics_of
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.faults.crowd import Crowd
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

AT_A_TIME = 48
LONGEST = 1.5  # seconds after which the last one hangs up
QUOTA = 10_000_000
EMPTY_WITHIN = 1.0


def test_hang_ups_free_the_engine_and_are_charged_exactly(
    gateway: GatewayServer, crowd: Crowd, figure: Figure, *, full: bool
) -> None:
    number = 500 if full else 60
    caller = caller_with(gateway, tokenQuota={"amount": QUOTA, "period": "lifetime"})
    chance = random.Random(9)  # noqa: S311 - moments, not secrets
    paths: dict[str, str] = {}
    exchanges: dict[str, Exchange] = {}
    leaving: dict[str, float] = {}
    while len(paths) < number or leaving:
        while len(paths) < number and len(leaving) < AT_A_TIME:
            trace_id, path = secrets.token_hex(16), chance.choice([GET_DATA, CHAT, COMPLETIONS])
            asked = {**body(path, LONG), "max_tokens": 500, "stream": chance.random() < 0.7}
            paths[trace_id] = path
            exchanges[trace_id] = crowd.send(post(path, caller.key, asked, trace_id=trace_id))
            leaving[trace_id] = time.monotonic() + chance.uniform(0, LONGEST)
        crowd.turn(0.005)
        for trace_id in [key for key, moment in leaving.items() if moment <= time.monotonic()]:
            crowd.hang_up(exchanges[trace_id])
            del leaving[trace_id]
    last = time.monotonic()

    def empty() -> bool:
        told = metrics_of(gateway)
        return (
            not told["gateway_engine_requests_running", frozenset()]
            + told["gateway_engine_requests_waiting", frozenset()]
        )

    wait_for(empty, "an empty engine", 10)
    emptied = time.monotonic() - last
    wait_for(lambda: caller.open_rows() == 0, "the rows' end", 10)
    rows = {row["trace_id"]: row for row in caller.rows()}
    spent = sum(map(tokens_of, rows.values()))
    figure(
        9,
        f"{number} hang-ups; the engine was empty {emptied:.2f} s after the last; {len(rows)} rows "
        f"with {spent} tokens, all of them ended and none less than its caller had received",
    )
    assert emptied < EMPTY_WITHIN
    assert set(rows) <= set(paths)
    assert len(rows) == len(caller.rows())
    assert {key for key, one in exchanges.items() if one.raw} <= set(rows)
    assert {row["status"] for row in rows.values()} <= {200, 499}
    assert sum(row["reserved"] for row in rows.values()) == 0
    assert caller.usage()["totalTokens"] == spent
    assert caller.left()["tokenQuota"]["remaining"] == QUOTA - spent
    streamed = [
        (rows[key], paths[key], one)
        for key, one in exchanges.items()
        if b"text/event-stream" in one.raw and paths[key] != COMPLETIONS
    ]
    check_counts(crowd, caller, streamed)
