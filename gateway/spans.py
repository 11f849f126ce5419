"""From trails to OpenTelemetry: spans that are made when a request is over (docs/decisions/0011-traces.md).

The one module that knows OpenTelemetry, and imported only where the operator has turned traces on. What is exported
where, how much of it, and under which name, the SDK reads from its own variables:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
"""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, NamedTuple

import structlog
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from gateway.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.settings import TraceExporter
    from gateway.trail import Fact, Step, Trail

SERVICE = "get-data-gateway"
"""What traces call the gateway unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` has another name."""

PROVIDER = "get-data"
"""`gen_ai.provider.name`, as in the metrics."""

FLUSH_SECONDS = 1.5
"""How long a process that ends waits for its last spans to be sent."""

_UNKNOWN = "unknown_service"

# The step in the engine is OpenTelemetry's GenAI span: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans
_GEN_AI = {
    "operation": "gen_ai.operation.name",
    "requested_model": "gen_ai.request.model",
    "model": "gen_ai.response.model",
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "n": "gen_ai.request.choice.count",
    "stream": "gen_ai.request.stream",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
}

log = structlog.get_logger("gateway.traces")


class Parent(NamedTuple):
    """The span that a request's `traceparent` names."""

    span_id: int
    sampled: bool


class Told(NamedTuple):
    """What a span says.

    Attributes:
        name: one of few.
        attributes: by their OpenTelemetry names.
        failed: whether it is an error.
    """

    name: str
    attributes: dict[str, Fact | Sequence[str]]
    failed: bool


class Spans:
    """Makes and exports the spans of one process.

    Args:
        exporter: where they go.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        resource = provider.resource
        if str(resource.attributes.get(SERVICE_NAME, _UNKNOWN)).startswith(_UNKNOWN):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        self._resource = resource
        self._sampler = provider.sampler
        self._limits = SpanLimits()
        self._scope = InstrumentationScope(SERVICE)
        self._processor = BatchSpanProcessor(_Telling(exporter))

    def samples(self, trace_id: str, parent: Parent | None, name: str) -> bool:
        """Whether a request that begins is to be traced: the SDK's sampler decides, as `OTEL_TRACES_SAMPLER` says."""
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context(trace_id, *parent, remote=True)), context)
        found = self._sampler.should_sample(context, int(trace_id, 16), name, SpanKind.SERVER)
        return found.decision is Decision.RECORD_AND_SAMPLE

    def export(self, trail: Trail, trace_id: str, parent: Parent | None, root: Told) -> None:
        """Make spans of a request that is over, and have them sent soon. Does not wait, and does not fail.

        Args:
            trail: its steps.
            trace_id: 32 hex digits; one that is sampled.
            parent: what called it.
            root: what the span of the request itself says.
        """
        trail.root.end()
        contexts = {id(trail.root): _context(trace_id, secrets.randbits(64) or 1, sampled=True)}
        for outer, step in trail.steps():
            contexts[id(step)] = context = _context(trace_id, secrets.randbits(64) or 1, sampled=True)
            self._emit(trail, step, (context, contexts[id(outer)]), _told(step))
        if trail.left_out:
            root.attributes["gateway.steps_left_out"] = trail.left_out
        above = None if parent is None else _context(trace_id, *parent, remote=True)
        self._emit(trail, trail.root, (contexts[id(trail.root)], above), root)

    def stop(self) -> None:
        """Send what is left, within `FLUSH_SECONDS`: a collector that hangs does not hold up the end."""
        thread = threading.Thread(target=self._processor.shutdown, name="spans-flush", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)

    def _emit(self, trail: Trail, step: Step, place: tuple[SpanContext, SpanContext | None], told: Told) -> None:
        most, longest = self._limits.max_span_attributes, self._limits.max_span_attribute_length
        context, parent = place
        span = ReadableSpan(
            told.name,
            context,
            parent,
            self._resource,
            BoundedAttributes(most, told.attributes, max_value_len=longest),
            kind=SpanKind.SERVER if step is trail.root else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if told.failed else StatusCode.UNSET),
            start_time=trail.unix(step.began),
            end_time=trail.unix(step.began if step.ended is None else step.ended),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


def make_spans(exporter: TraceExporter) -> Spans:
    """The spans of this process, exported as the SDK's variables say. Starts a thread: not before a fork.

    Args:
        exporter: which of the SDK's exporters.

    Raises:
        SettingsError: the SDK does not take its variables.
    """
    try:
        spans = Spans(_exporter(exporter))
    except ValueError as error:
        raise SettingsError([f"OTEL_*: OpenTelemetry does not take its variables ({error})"]) from None
    # From now on: what it says of its variables should be read. Later its words would come with each batch that cannot
    # be sent, and quote addresses; `_Telling` has ours.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    return spans


def _exporter(kind: TraceExporter) -> SpanExporter:
    if kind == "console":
        return ConsoleSpanExporter()
    if kind == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter()


class _Telling(SpanExporter):
    """Another exporter, whose failures are told once for each time that they begin and end."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them. A failure is a result, never an exception."""
        try:
            result = self._exporter.export(spans)
            error = None
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is not to end the thread that exports
            result, error = SpanExportResult.FAILURE, type(failure).__name__
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            log.warning("traces cannot be exported: the collector is away or refuses them; they are lost", error=error)
        elif self._away and not away:
            log.info("traces are exported again")
        self._away = away
        return result

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def _context(trace_id: str, span_id: int, sampled: bool, *, remote: bool = False) -> SpanContext:  # noqa: FBT001
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace_id, 16), span_id, remote, flags)


def own(facts: Mapping[str, Fact]) -> dict[str, Fact | Sequence[str]]:
    """Facts as attributes, under the gateway's own names."""
    return {f"gateway.{name}": fact for name, fact in facts.items()}


def _told(step: Step) -> Told:
    facts = dict(step.facts)
    found: dict[str, Fact | Sequence[str]] = {} if step.error is None else {"error.type": step.error}
    if step.name != "engine":
        return Told(step.name, found | own(facts), step.error is not None)
    found["gen_ai.provider.name"] = PROVIDER
    reason = facts.pop("finish_reason", None)
    if reason is not None:
        found["gen_ai.response.finish_reasons"] = (str(reason),)
    for name, fact in facts.items():
        found[_GEN_AI.get(name, f"gateway.{name}")] = fact
    return Told(f"{facts.get('operation')} {facts.get('requested_model')}", found, step.error is not None)
