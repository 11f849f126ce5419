"""An OpenTelemetry collector on loopback: OTLP over HTTP, decoded as the protocol has it."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Span:
    """A span as it came.

    Attributes:
        resource: the attributes of who made it.
        kind: OTLP's number: 1 is internal, 2 a server's.
        status: OTLP's number: 0 is unset, 2 an error.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """What a collector has got.

    Attributes:
        url: for `OTEL_EXPORTER_OTLP_ENDPOINT`.
        bodies: of its requests, decompressed.
        paths: of its requests.
    """

    url: str
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def spans(self) -> list[Span]:
        """All of them."""
        return [span for body in list(self.bodies) for span in spans_of(body)]

    def trace(self, trace_id: str) -> list[Span]:
        """Those of a trace, as soon as its request's own is there: it is sent last."""
        found: list[Span] = []

        def whole() -> bool:
            found[:] = [span for span in self.spans if span.trace_id == trace_id]
            return any(span.kind == 2 for span in found)

        wait_for(whole, f"the trace {trace_id}", 20)
        return found


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector that runs, on a port of the system's choice or on this one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.paths.append(self.path)
            collector.bodies.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def spans_of(body: bytes) -> Iterator[Span]:
    """The spans of an `ExportTraceServiceRequest`."""
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    _attributes(span.attributes),
                    resource,
                )


def _attributes(found: Sequence[Any]) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in found}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
