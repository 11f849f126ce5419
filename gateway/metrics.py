"""What the gateway counts of each request, for Prometheus. `exposition.py` shows it, docs/observability.md explains it.

Nothing here is a caller's own: operations are this project's names, products come from the store, models from the
settings, kinds of failures from the code. A subscription is never named.

After `count_in`, a process counts in files of its own in a folder, and any of those that do shows the sum.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.admission import Admission
    from gateway.errors import LimitKind
    from gateway.ledger import Usage

# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics advises on these, in seconds and in tokens. Its
# longest duration is 82 s; a request may take ten minutes here.
_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(4.0**exponent for exponent in range(11))
# A call waits as long as it may take, ten minutes unless the operator says otherwise.
_WAIT = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model")
_PROVIDER = "get-data"  # as /v1/models names the owner
_TEXT_COMPLETIONS = frozenset({"completions", "azure completions"})

# One for each kind of metric that `Metrics` or the engine has, as prometheus-client names them and as large as it makes
# them.
_FILES = ("counter", "histogram", "gauge_livesum", "gauge_mostrecent", "gauge_sum")
_FILE_BYTES = 1 << 20

RUNNING = "gateway_requests_running"
"""The name of the gauge of what is being answered."""

NO_OPERATION = "unknown"
"""The operation of a request whose path or method leads nowhere."""

NO_PRODUCT = "none"
"""The product of a request without an accepted key."""


def count_in(folder: Path) -> None:
    """Have each `Metrics` that this process makes from now on count in a folder that it shares with other processes.

    https://prometheus.github.io/client_python/multiprocess: prometheus-client looks at its variable when it is imported
    first, which gunicorn's master has done long before there is a folder. So what it would choose is chosen here.
    """
    _allocate(folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue()


def _allocate(folder: Path) -> None:
    """Give this process's files their room on the disk now.

    The library maps files with holes. A hole that is written to when the disk is full ends the process (SIGBUS).
    """
    for kind in _FILES:
        with (folder / f"{kind}_{os.getpid()}.db").open("ab") as file:
            if not file.tell():
                os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that is over.

    Attributes:
        operation: its name; None where the path or the method led nowhere.
        status: of the answer; 499 for a caller that hung up.
        seconds: from its head to its last byte.
        product: of its caller, if its key was accepted.
        error: the class of its failure.
        limit: what refused it.
        replayed: whether it got an earlier request's answer, by its Idempotency-Key.
        admission: of a generating operation.
    """

    operation: str | None
    status: int
    seconds: float
    product: str | None = None
    error: str | None = None
    limit: LimitKind | None = None
    admission: Admission | None = None
    replayed: bool = False


class Metrics:
    """The counters and histograms of one process.

    Attributes:
        registry: holds them; shown as it is where there is one process.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "gateway_requests_total",
            "Requests that have ended, whatever the answer.",
            ("operation", "status", "product"),
            registry=registry,
        )
        self._running = Gauge(
            RUNNING,
            "Requests that are being answered now, probes and scrapes apart.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._limits = Counter(
            "gateway_limit_hits_total",
            "Requests that a limit of their product refused.",
            ("limit", "product"),
            registry=registry,
        )
        self._replays = Counter(
            "gateway_replays_total",
            "Requests that were given the answer of an earlier one, by their Idempotency-Key.",
            ("operation", "product"),
            registry=registry,
        )
        of_model = ("model", "product")
        self._prompt = Counter(
            "gateway_prompt_tokens_total", "Ids of prompts that the engine took.", of_model, registry=registry
        )
        self._cached = Counter(
            "gateway_cached_prompt_tokens_total",
            "Of the ids of prompts, those that came from the prefix cache.",
            of_model,
            registry=registry,
        )
        self._completion = Counter(
            "gateway_completion_tokens_total", "Ids that the engine produced.", of_model, registry=registry
        )
        self._wait = Histogram(
            "gateway_reservation_wait_seconds",
            "How long a call waited for tokens that others of its subscription had reserved; only of those that did.",
            ("product",),
            registry=registry,
            buckets=_WAIT,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's head to the last byte of its answer, of calls that reached the engine.",
            (*_GEN_AI, "error_type"),
            registry=registry,
            buckets=_DURATION,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a call's admission to its first token, queue and prefill included, of answers that were whole.",
            _GEN_AI,
            registry=registry,
            buckets=_FIRST_TOKEN,
        )
        self._per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per token after the first, all choices of a call together, of answers that were whole.",
            _GEN_AI,
            registry=registry,
            buckets=_PER_TOKEN,
        )
        self._usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call, in and out.",
            (*_GEN_AI, "gen_ai_token_type"),
            registry=registry,
            buckets=_TOKENS,
        )

    def begin(self) -> None:
        """A request begins; `end` follows."""
        self._running.inc()

    def end(self) -> None:
        """A request that has begun is over."""
        self._running.dec()

    def observe(self, ended: Ended) -> None:
        """Count a request that is over."""
        product = ended.product or NO_PRODUCT
        self._requests.labels(ended.operation or NO_OPERATION, str(ended.status), product).inc()
        if ended.limit is not None:
            self._limits.labels(ended.limit, product).inc()
        if ended.replayed:
            self._replays.labels(ended.operation or NO_OPERATION, product).inc()
        admission = ended.admission
        if admission is None:
            return
        if admission.waited:
            self._wait.labels(product).observe(admission.waited)
        if admission.model is not None:  # it was let into the engine
            self._observe_call(ended, product, admission.model, admission.usage)

    def _observe_call(self, ended: Ended, product: str, model: str, usage: Usage) -> None:
        self._prompt.labels(model, product).inc(usage.prompt_tokens)
        self._cached.labels(model, product).inc(usage.cached_tokens)
        self._completion.labels(model, product).inc(usage.completion_tokens)
        operation = "text_completion" if ended.operation in _TEXT_COMPLETIONS else "chat"
        about = (operation, _PROVIDER, model)
        self._duration.labels(*about, ended.error or "").observe(ended.seconds)
        self._usage.labels(*about, "input").observe(usage.prompt_tokens)
        self._usage.labels(*about, "output").observe(usage.completion_tokens)
        if usage.finish_seconds is not None and usage.first_token_seconds is not None:
            self._first_token.labels(*about).observe(usage.first_token_seconds)
            if usage.completion_tokens > 1:
                decoding = usage.finish_seconds - usage.first_token_seconds
                self._per_token.labels(*about).observe(decoding / (usage.completion_tokens - 1))
