"""What a scrape of Prometheus' gets: what all workers have counted, the engine's state, the gateway's processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, get_args

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateway.engine import Phase
from gateway.errors import UnavailableError
from gateway.metrics import RUNNING
from gateway.processes import below, title

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.engine import Engine
    from gateway.metrics import Metrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""https://prometheus.io/docs/instrumenting/exposition_formats/"""

# An engine answers between two steps, which take milliseconds. Prometheus gives a scrape ten seconds.
_ENGINE_SECONDS = 1.0


class Exposition:
    """Makes the text.

    Args:
        metrics: what this process counts.
        engine: asked for its state at each scrape.
        folder: where all workers count; None where this process is the only one.
    """

    def __init__(self, metrics: Metrics, engine: Engine, folder: Path | None = None) -> None:
        self._metrics = metrics
        self._engine = engine
        self._folder = folder

    def text(self) -> bytes:
        """The figures of this moment, in Prometheus' text format."""
        shown = CollectorRegistry()
        if self._folder is None:
            shown.register(self._metrics.registry)
        else:
            shown.register(MultiProcessCollector(None, path=str(self._folder)))
        shown.register(_EngineState(self._engine))
        # A worker's parent is gunicorn's master, and the parent of all.
        shown.register(_Processes(os.getpid() if self._folder is None else os.getppid()))
        return generate_latest(shown)

    def requests_running(self) -> int:
        """How many requests all workers are answering, probes and scrapes apart."""
        if self._folder is None:
            found = self._metrics.registry.get_sample_value(RUNNING)
            return int(found or 0)
        merged = MultiProcessCollector.merge(map(str, self._folder.glob("gauge_livesum_*.db")))
        return int(sum(sample.value for metric in merged if metric.name == RUNNING for sample in metric.samples))


class _EngineState(Collector):
    """The engine as this worker sees it. Never waits long for one that does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        try:
            running, waiting = self._engine.load(_ENGINE_SECONDS)
        except UnavailableError:
            pass  # a figure that nobody knows is left out: 0 would say that it is idle
        else:
            yield GaugeMetricFamily("gateway_engine_requests_running", "Requests that the engine runs.", value=running)
            yield GaugeMetricFamily("gateway_engine_requests_waiting", "Requests in the engine's queue.", value=waiting)
        status = self._engine.status()  # asked last: one that has just died is known to be away by now
        yield GaugeMetricFamily(
            "gateway_engine_ready", "1 when a prompt would be answered, else 0.", value=float(status.ready)
        )
        state = GaugeMetricFamily(
            "gateway_engine_state", "1 for the state that it is in, 0 for the others.", labels=["state"]
        )
        for phase in get_args(Phase):
            state.add_metric([phase], float(phase == status.phase))
        yield state


class _Processes(Collector):
    """What Prometheus' clients tell of their own process, for each process of the gateway.

    Told without names they would jump with every scrape, since any worker may answer it.
    """

    def __init__(self, root: int) -> None:
        self._root = root

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for pid in below(self._root):
            labels = {"process": title(pid), "pid": str(pid)}
            for told in _figures(pid):
                family = families.setdefault(told.name, Metric(told.name, told.documentation, told.type))
                for sample in told.samples:
                    family.add_sample(sample.name, labels, sample.value)
        return families.values()


def _figures(pid: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()
