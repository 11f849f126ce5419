"""Figures that are noted first and written down later come to what they would have come to at once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

VALUES = [0.0, 0.0005, 0.001, 0.0011, 0.5, 0.99, 1.0, 1.5, 7.0, 1.0]
BUCKETS = (0.001, 1.0, 5.0)


@pytest.fixture(scope="module")
def stats() -> Any:
    """The module, which imports vLLM."""
    from gateway.engines.vllm import stats  # noqa: PLC0415

    return stats


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All that it counts, but not when it began."""
    return {
        (one.name, tuple(one.labels.items())): one.value
        for family in registry.collect()
        for one in family.samples
        if not one.name.endswith("_created")
    }


def test_a_histogram_has_each_value_in_its_bucket_once_it_is_written(stats: Any) -> None:
    at_once, later = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("h", "h", registry=at_once, buckets=BUCKETS)
    gathered = stats._NotedHistogram(Histogram("h", "h", registry=later, buckets=BUCKETS))  # noqa: SLF001
    for value in VALUES:
        plain.observe(value)
        gathered.observe(value)
    assert samples(later)["h_count", ()] == 0
    gathered.write()
    gathered.write()  # nothing is written twice
    assert samples(later) == samples(at_once)


def test_outputs_are_taken_down_as_vllm_does_it(stats: Any) -> None:
    from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, EngineCoreOutput  # noqa: PLC0415
    from vllm.v1.engine.output_processor import LoRARequestStates, OutputProcessor  # noqa: PLC0415
    from vllm.v1.metrics.stats import IterationStats, PrefillStats, RequestStateStats  # noqa: PLC0415

    def told(*, quick: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        processor = OutputProcessor.__new__(OutputProcessor)
        processor.lora_states = LoRARequestStates(log_stats=True)
        if quick:
            stats.quicken(processor, stats.Steps())
        state = SimpleNamespace(is_prefilling=True, lora_name=None, stats=RequestStateStats(arrival_time=5.0))
        iteration = IterationStats()
        iteration.iteration_timestamp = 7.5
        events = [EngineCoreEvent(kind, at) for at, kind in enumerate(EngineCoreEventType, 1)]
        outputs = [
            EngineCoreOutput("a", [1], events=events, prefill_stats=PrefillStats(num_prompt_tokens=9)),
            EngineCoreOutput("a", [2]),
            EngineCoreOutput("a", [3, 4], events=events[-1:]),
            EngineCoreOutput("a", []),
            EngineCoreOutput("a", [5, 6]),
            EngineCoreOutput("a", [7], events=events[-1:]),
        ]
        for number, output in enumerate(outputs):
            processor._update_stats_from_output(state, output, 10.0 + number * number, iteration)  # noqa: SLF001
            processor._update_stats_from_output(state, output, 99.0, None)  # noqa: SLF001
            state.is_prefilling = False
        return {**vars(iteration), "prompt_token_stats": vars(iteration.prompt_token_stats)}, vars(state.stats)

    assert told(quick=True) == told(quick=False)
    assert told(quick=True)[1]["num_generation_tokens"] == 7


def test_ids_of_several_steps_are_taken_down_as_if_each_had_come_by_itself(stats: Any) -> None:
    from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, EngineCoreOutput  # noqa: PLC0415
    from vllm.v1.engine.output_processor import LoRARequestStates, OutputProcessor  # noqa: PLC0415
    from vllm.v1.metrics.stats import IterationStats, RequestStateStats  # noqa: PLC0415

    from gateway.engines.vllm.coalesce import StepOutputs  # noqa: PLC0415

    def told(*, together: bool) -> tuple[list[float], dict[str, Any]]:
        processor, steps = OutputProcessor.__new__(OutputProcessor), stats.Steps()
        processor.lora_states = LoRARequestStates(log_stats=True)
        stats.quicken(processor, steps)
        state = SimpleNamespace(is_prefilling=True, lora_name=None, stats=RequestStateStats(arrival_time=5.0))
        iteration = IterationStats()
        iteration.iteration_timestamp = 7.5

        def take(ids: list[int], at: list[float]) -> None:
            steps.hear(StepOutputs(timestamp=at[-1], steps=[(one, 1) for one in at]))
            # The last one was told to give way to others.
            events = [EngineCoreEvent(EngineCoreEventType.PREEMPTED, at[-1])] if ids[-1] == 4 else None
            output = EngineCoreOutput("a", ids, events=events)
            processor._update_stats_from_output(state, output, at[-1], iteration)  # noqa: SLF001

        take([1], [1.0])
        state.is_prefilling = False
        if together:
            steps.hear(StepOutputs(timestamp=1.5, steps=[(1.5, 1)]))  # of another request, while the first id waits
            take([2, 3, 4], [2.0, 6.0])
        else:
            for number, at in ((2, 1.5), (3, 2.0), (4, 6.0)):
                take([number], [at])
        assert iteration.num_preempted_reqs == 1
        return iteration.inter_token_latencies_iter, vars(state.stats)

    assert told(together=True) == told(together=False)
    assert told(together=True)[0] == [0.5, 0.5, 4.0]


def test_the_last_steps_are_those_of_the_engine_that_was_heard_last(stats: Any) -> None:
    from gateway.engines.vllm.coalesce import StepOutputs  # noqa: PLC0415

    steps = stats.Steps()
    steps.hear(StepOutputs(steps=[(1.0, 1), (2.0, 0)]))
    steps.hear(StepOutputs(engine_index=1, steps=[(9.0, 1)]))  # another engine of a data-parallel group
    steps.hear(StepOutputs(steps=[(3.0, 1)]))
    assert steps.last(2) == [2.0, 3.0]
    assert steps.last(9) == [1.0, 2.0, 3.0]


def test_a_counter_and_a_gauge_too(stats: Any) -> None:
    registry = CollectorRegistry()
    counter = stats._NotedCounter(Counter("c", "c", registry=registry))  # noqa: SLF001
    gauge = stats._NotedGauge(Gauge("g", "g", registry=registry), time.time)  # noqa: SLF001
    for value in VALUES:
        counter.inc(value)
        gauge.set(value)
    for one in (counter, gauge, counter, gauge):
        one.write()
    assert samples(registry) == {("c_total", ()): sum(VALUES), ("g", ()): VALUES[-1]}


def test_of_two_workers_the_one_with_the_later_step_is_shown_and_not_the_one_that_heard_last(stats: Any) -> None:
    from gateway.engines.vllm.coalesce import StepOutputs  # noqa: PLC0415

    written = list[tuple[float, float]]()
    gauge = SimpleNamespace(_value=SimpleNamespace(set=lambda number, timestamp: written.append((number, timestamp))))
    now = time.monotonic()
    for step, running in ((now - 50, 0.0), (now - 100, 1.0)):  # the second one is late with what came before
        worker = stats.Statistics.__new__(stats.Statistics)
        worker.hear(StepOutputs(timestamp=step))
        noted = stats._NotedGauge(gauge, worker._moment)  # noqa: SLF001
        noted.set(running)
        noted.write()
    (idle, idle_at), (_, busy_at) = written
    assert (idle, round(idle_at - busy_at)) == (0.0, 50)
    assert round(time.time() - idle_at) in {50, 51}
