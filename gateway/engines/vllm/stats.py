"""vLLM's own metrics, under vLLM's names, in the files where the gateway counts (`gateway.metrics.count_in`).

vLLM tells its Prometheus logger of each engine step, id by id. prometheus-client takes 1 to 3 µs for each figure that
it writes to its file, and so would cost more than all other statistics. Here a figure is only noted when vLLM tells
it, and what was noted is written down once a second.

Bound to vLLM 0.32 and prometheus-client 0.26; `tests/engine/test_vllm_internals.py` says what moved.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from vllm import envs
from vllm.v1.metrics.buckets import INTER_TOKEN_LATENCY_BUCKETS
from vllm.v1.metrics.loggers import PrometheusStatLogger
from vllm.v1.metrics.stats import SchedulerStats

from gateway.engines.vllm.coalesce import MOST_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vllm.config import VllmConfig
    from vllm.v1.engine import EngineCoreOutput
    from vllm.v1.engine.output_processor import OutputProcessor, RequestState
    from vllm.v1.metrics.stats import IterationStats

    from gateway.engines.vllm.coalesce import StepOutputs

WRITE_SECONDS = 1.0
"""How old a figure may be in its file."""

# vLLM's own begin at 300 ms, for times in the queue and of a prefill too, and at 10 ms between two tokens.
_BUCKETS = {
    "request_latency": [
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        *(1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0),
    ],
    "inter_token_latency": [0.001, 0.0025, 0.005, *INTER_TOKEN_LATENCY_BUCKETS],
}


def tell_as(config: VllmConfig, name: str) -> None:
    """Have metrics call the model by the name that callers know, not by its folder, and give times fitting buckets.

    Args:
        config: changed in place; the operator's own buckets stay.
        name: of the model.
    """
    config.model_config.served_model_name = name
    observability = config.observability_config
    observability.custom_histogram_buckets = {**_BUCKETS, **(observability.custom_histogram_buckets or {})}


class Steps:
    """When the engine made its last steps, as its messages say: an output may have the ids of several of them."""

    def __init__(self) -> None:
        self._engines: dict[int, deque[float]] = {}
        self._last: deque[float] = deque()

    def hear(self, outputs: StepOutputs) -> None:
        """A message has come, and what is asked for from now on is of its engine."""
        self._last = self._engines.setdefault(outputs.engine_index, deque(maxlen=2 * MOST_IDS))
        self._last.extend(at for at, _ in outputs.steps)

    def last(self, number: int) -> Sequence[float]:
        """The times of so many, the newest last; fewer where no more are known."""
        return list(islice(self._last, max(0, len(self._last) - number), None))


def quicken(processor: OutputProcessor, steps: Steps) -> None:
    """Have vLLM take down the usual output, which is not its request's first, in a third of the time.

    It does so for each output of each request, in the process that serves them. An output whose ids are of several
    steps is taken down as one of each.
    """
    if envs.VLLM_COMPUTE_NANS_IN_LOGITS:  # then each output has more to tell
        return
    whole = processor._update_stats_from_output  # noqa: SLF001

    def update(
        state: RequestState, output: EngineCoreOutput, timestamp: float | None, iteration: IterationStats | None
    ) -> None:
        stats = state.stats
        if iteration is None or stats is None or timestamp is None or state.is_prefilling:
            whole(state, output, timestamp, iteration)
            return
        tokens, last = len(output.new_token_ids), stats.last_token_ts
        if output.events is None:
            iteration.num_generation_tokens += tokens
            stats.num_generation_tokens += tokens
        else:
            whole(state, output, timestamp, iteration)
            iteration.inter_token_latencies_iter.pop()  # as if it were one id
            stats.last_token_ts = last
        for at in (timestamp,) if tokens == 1 else steps.last(tokens) or (timestamp,):
            # What was not in each of the last steps, having given way to others, made its ids in fewer of them.
            iteration.inter_token_latencies_iter.append(max(0.0, at - stats.last_token_ts))
            stats.last_token_ts = max(at, stats.last_token_ts)

    processor._update_stats_from_output = update  # noqa: SLF001


class Statistics(PrometheusStatLogger):  # type: ignore[misc]  # vLLM's types are not read
    """vLLM's Prometheus logger for one epoch of the engine. One event loop's.

    Attributes:
        registry: what it counts; shown from the files where there are any.
    """

    def __init__(self, vllm_config: VllmConfig, engine_indexes: list[int] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._noted: list[_Noted] = []
        self._loop = asyncio.get_running_loop()
        self._planned = False
        self._step: float | None = None  # seconds of the machine's monotonic clock
        self._steps: Sequence[tuple[float, int]] = ()
        # Where vLLM names prometheus-client's classes to make its metrics of.
        self._gauge_cls = self._kind(Gauge, lambda gauge: _NotedGauge(gauge, self._moment))
        self._counter_cls = self._kind(Counter, _NotedCounter)
        self._histogram_cls = self._kind(Histogram, _NotedHistogram)
        super().__init__(vllm_config, engine_indexes)
        self.forget()  # what an engine before this one had in work

    def hear(self, outputs: StepOutputs) -> None:
        """What vLLM tells from now on is of this message of the engine's.

        Of the gauges of several workers the newest is shown, which need not be the one that was heard last: an idle
        engine says so to one worker alone, and another one may be late with what it heard before.
        """
        self._step = outputs.timestamp
        self._steps = outputs.steps

    def _moment(self) -> float:
        """The time of the step, as `time.time` has it."""
        return time.time() if self._step is None else time.time() - time.monotonic() + self._step

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Note what vLLM tells of a message."""
        super().record(scheduler_stats, iteration_stats, mm_cache_stats, engine_idx)
        if iteration_stats is not None and self._steps:
            # It took a message for a step.
            made = [ids for _, ids in self._steps]
            made[-1] += iteration_stats.prompt_token_stats.computed
            self.histogram_iteration_tokens[engine_idx].correct(made)
        if not self._planned:
            self._planned = True
            self._loop.call_later(WRITE_SECONDS, self.write)

    def write(self) -> None:
        """Write down what was noted."""
        self._planned = False
        for one in self._noted:
            one.write()

    def forget(self) -> None:
        """The engine has nothing in work, or is gone. What was counted stays."""
        self._step = None
        for index in self.engine_indexes:
            super().record(SchedulerStats(), None, engine_idx=index)
        self.write()

    def _kind(self, metric: Callable[..., Any], noted: Callable[[Any], _Noted]) -> Callable[..., _Labelled]:
        def make(**given: Any) -> _Labelled:
            return _Labelled(metric(**given, registry=self.registry), noted, self._noted)

        return make


class _Noted(Protocol):
    def write(self) -> None: ...


class _Labelled:
    """A metric of prometheus-client's that vLLM takes labelled ones from, again and again."""

    def __init__(self, metric: Any, noted: Callable[[Any], _Noted], all_noted: list[_Noted]) -> None:
        self._metric = metric
        self._noted = noted
        self._all_noted = all_noted
        self._known: dict[tuple[object, ...], _Noted] = {}

    def labels(self, *values: object, **named: object) -> _Noted:
        key = (*values, *named.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._noted(self._metric.labels(*values, **named))
            self._all_noted.append(found)
        return found


class _NotedCounter:
    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._more = 0.0

    def inc(self, amount: float = 1) -> None:
        self._more += amount

    def write(self) -> None:
        if self._more:
            self._counter.inc(self._more)
            self._more = 0.0


class _NotedGauge:
    def __init__(self, gauge: Any, moment: Callable[[], float]) -> None:
        self._gauge = gauge
        self._moment = moment
        self._last: tuple[float, float] | None = None

    def set(self, value: float) -> None:
        self._last = float(value), self._moment()

    def set_to_current_time(self) -> None:
        self.set(time.time())

    def write(self) -> None:
        if self._last is not None:
            # Of the gauges of several processes the one with the newest time is shown.
            self._gauge._value.set(self._last[0], timestamp=self._last[1])  # noqa: SLF001
            self._last = None


class _NotedHistogram:
    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._bounds: Sequence[float] = histogram._upper_bounds  # noqa: SLF001
        self._seen: list[float] = []
        self.observe = self._seen.append

    def correct(self, values: Sequence[float]) -> None:
        """Not the value that was observed last, but these."""
        self._seen[-1:] = values

    def write(self) -> None:
        if self._seen:
            # As `Histogram.observe` does it, but for many at once.
            self._histogram._sum.inc(sum(self._seen))  # noqa: SLF001
            for bucket, times in Tally(bisect_left(self._bounds, value) for value in self._seen).items():
                self._histogram._buckets[bucket].inc(times)  # noqa: SLF001
            self._seen.clear()
