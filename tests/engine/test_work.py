"""What the engine says that it has done and has to do."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gateway.engine import Sampling, Terms
from tests.engine.test_port import LONG, drain
from tests.server import wait_for

if TYPE_CHECKING:
    from gateway.engines.vllm import VllmEngine

AT_A_TIME = 64  # the demo model's --max-num-seqs
MOST = 200


def test_what_was_produced_is_counted_to_the_token(vllm_engine: VllmEngine) -> None:
    before = vllm_engine.work().produced
    drain(vllm_engine.generate(vllm_engine.encode(LONG), Sampling(max_tokens=20), Terms(secrets.token_hex(16))))
    assert vllm_engine.work().produced == before + 20
    assert not vllm_engine.work().queued


def test_what_waits_is_told_by_priority_and_what_runs_is_not(vllm_engine: VllmEngine) -> None:
    ids, sampling = vllm_engine.encode(LONG), Sampling(max_tokens=MOST, temperature=0)
    before = vllm_engine.work().produced
    priorities = [0] * AT_A_TIME + [7] * 10 + [8]
    generations = [
        vllm_engine.generate(ids, sampling, Terms(secrets.token_hex(16), priority)) for priority in priorities
    ]
    try:
        wait_for(lambda: set(vllm_engine.work().queued) == {7, 8}, "a queue")
        work = vllm_engine.work()
        assert work.produced > before
        assert 10 <= work.queued[7] <= 10 * MOST
        assert work.queued[8] * 10 == work.queued[7]
    finally:
        for generation in generations:
            generation.cancel()
    wait_for(lambda: vllm_engine.load() == (0, 0), "an empty engine")
    assert not vllm_engine.work().queued
