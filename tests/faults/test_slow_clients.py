"""Row 4: clients that send slowly, or nothing, or never read."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench.figures import percentile
from tests.faults.conftest import READ_TIMEOUT
from tests.faults.crowd import Crowd, post
from tests.real.callers import LONG

if TYPE_CHECKING:
    from tests.faults.crowd import Exchange
    from tests.faults.figures import Figure
    from tests.server import GatewayServer

OF_EACH = 50
HEALTHY_P99 = 1.0
LATE = 1.0  # seconds after its deadline in which a slow one is told
DRIBBLE = 0.5  # seconds between two bytes


def test_slow_clients_hold_nobody_up_and_are_told_at_the_deadline(
    gateway: GatewayServer, figure: Figure, *, full: bool
) -> None:
    whole = post("/get-data", gateway.key, {"prompt": "Hello", "temperature": 0, "max_tokens": 4})
    head, _, content = whole.partition(b"\r\n\r\n")
    stream = post("/get-data", gateway.key, {"prompt": LONG, "temperature": 0, "stream": True})
    with ExitStack() as stack:
        crowd, healthy = (stack.enter_context(Crowd(gateway.port)) for _ in range(2))
        slow_heads = [crowd.send(head[:20]) for _ in range(OF_EACH)]
        slow_bodies = [crowd.send(head + b"\r\n\r\n" + content[:3]) for _ in range(OF_EACH)]
        idle = [crowd.send(b"") for _ in range(OF_EACH)]
        never_read = [crowd.send(stream, receive_buffer=4096) for _ in range(OF_EACH)]
        for one in never_read:
            crowd.ignore(one)

        began = time.monotonic()
        served: list[Exchange] = []
        next_byte = began
        while time.monotonic() < began + (30 if full else READ_TIMEOUT + 3):
            if time.monotonic() >= next_byte:
                next_byte += DRIBBLE
                for one in (*slow_heads, *slow_bodies):
                    crowd.send_more(one, b"a")
            asked = healthy.send(whole)
            healthy.until_over([asked], 30)
            served.append(asked)
            crowd.turn(0)
        crowd.until_over([*slow_heads, *slow_bodies, *idle], 10)
        p99 = percentile([one.seconds for one in served], 0.99)
        told = max(one.seconds for one in (*slow_heads, *slow_bodies))
    figure(
        4,
        f"p99 of {len(served)} healthy calls: {p99:.2f} s; {2 * OF_EACH} slow ones got 408 within {told:.1f} s, "
        f"with a deadline of {READ_TIMEOUT:g} s",
    )
    assert {one.status for one in served} == {200}
    assert p99 < HEALTHY_P99
    for one in (*slow_heads, *slow_bodies):
        assert one.status == 408
        assert one.json["code"] == 408
        assert READ_TIMEOUT <= one.seconds < READ_TIMEOUT + LATE
    assert not any(one.raw or one.reset for one in idle)
