"""OpenTelemetry's view of requests: spans, their times, their place in a caller's trace, and nothing else of them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from app.factory import create_app
from gateway.engines.scripted import ScriptedEngine
from gateway.errors import UnavailableError
from gateway.keys import KeyHasher
from gateway.processes import METRICS_FOLDER
from gateway.settings import ROOT
from gateway.spans import Spans, make_spans
from gateway.subscriptions import Subscriptions
from tests.collector import collecting, spans_of
from tests.gateways import PEPPER, make_gateway, make_services
from tests.http.conftest import CONTEXT_LENGTH, MAX_BODY_BYTES, Api, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from gateway.store import Store
    from tests.http.conftest import Log

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Kept(SpanExporter):
    """An exporter that keeps what it is given, or fails."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.results: list[SpanExportResult | Exception] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them, unless the next result is another."""
        result = self.results.pop(0) if self.results else SpanExportResult.SUCCESS
        if isinstance(result, Exception):
            raise result
        self.spans += spans
        return result


class Traced:
    """An app whose spans are kept."""

    def __init__(self, store: Store, key: str) -> None:
        self.kept = Kept()
        self.spans = Spans(self.kept)
        engine, clock = ScriptedEngine(context_length=CONTEXT_LENGTH), Clock()
        subscriptions = Subscriptions(store, KeyHasher(PEPPER))
        services = make_services(make_gateway(engine, store), subscriptions, store, spans=self.spans)
        app = create_app(services, max_body_bytes=MAX_BODY_BYTES, admin_token="an-admin-token-of-the-tests")
        self.api = Api(app, engine, clock, store, subscriptions, key)

    def all(self) -> list[ReadableSpan]:
        """What has been made so far."""
        self.spans._processor.force_flush()  # noqa: SLF001 - so that no test waits for the next batch
        return self.kept.spans

    def one(self, name: str) -> ReadableSpan:
        """The span of a name."""
        (found,) = [span for span in self.all() if span.name == name]
        return found


@pytest.fixture
def make_traced(store: Store, valid_key: str) -> Iterator[Callable[[], Traced]]:
    made: list[Traced] = []

    def make() -> Traced:
        made.append(Traced(store, valid_key))
        return made[-1]

    yield make
    for one in made:
        one.spans.stop()


@pytest.fixture
def traced(make_traced: Callable[[], Traced]) -> Traced:
    return make_traced()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/get-data", {"prompt": "abc", "temperature": 0.5, "max_tokens": 20}, "chat"),
        ("/get-data", {"prompt": "abc", "temperature": 0.5, "max_tokens": 20, "stream": True}, "chat"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "abc"}], "temperature": 0.5, "max_tokens": 20},
            "chat",
        ),
        ("/v1/completions", {"prompt": "abc", "temperature": 0.5, "max_tokens": 20}, "text_completion"),
    ],
)
def test_a_trace_holds_the_request_its_steps_and_the_engines(
    traced: Traced, path: str, body: dict[str, object], operation: str
) -> None:
    reply = traced.api.post(body, path, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert reply.status == 200
    spans = traced.all()
    root = traced.one(f"POST {path}")
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE} == {reply.headers["X-Trace-Id"]}
    assert root.parent is not None
    assert (f"{root.parent.span_id:016x}", root.parent.is_remote, root.kind.name) == (PARENT, True, "SERVER")
    engine = traced.one(f"{operation} scripted")
    steps = {span.name for span in spans if span.parent == root.context}
    assert {"key", "body", "model", "queue bound", "chat template", "token limits", engine.name, "settlement"} <= steps
    assert {span.name for span in spans if span.parent == engine.context} == {"queue", "prefill", "decode"}
    by_id = {span.context.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        assert (span.start_time or 0) <= (span.end_time or 0)
        assert span.status.status_code.name == "UNSET"
        if span is not root and span.parent is not None:
            outer = by_id[span.parent.span_id]
            assert (outer.start_time or 0) <= (span.start_time or 0)
            assert (span.end_time or 0) <= (outer.end_time or 0)
    assert attributes(engine) == {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "get-data",
        "gen_ai.request.model": "scripted",
        "gen_ai.response.model": "scripted",
        "gen_ai.request.max_tokens": 20,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": body.get("stream", False),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    said = attributes(root)
    assert said["http.request.method"] == "POST"
    assert (said["http.route"], said["http.response.status_code"], said["url.scheme"]) == (path, 200, "http")
    assert (said["gateway.subscription"], said["gateway.product"]) == ("tests", "unlimited")
    assert root.resource.attributes["service.name"] == "get-data-gateway"


def test_without_a_traceparent_the_trace_id_is_the_requests_and_there_is_no_parent(traced: Traced) -> None:
    reply = traced.api.post({"prompt": "a"})
    root = traced.one("POST /get-data")
    assert f"{root.context.trace_id:032x}" == reply.json["traceId"]
    assert root.parent is None


def test_what_a_caller_does_not_sample_is_not_exported(traced: Traced) -> None:
    assert traced.api.post({"prompt": "a"}, traceparent=f"00-{TRACE}-{PARENT}-00").status == 200
    assert traced.all() == []


@pytest.mark.parametrize(("sampler", "argument", "exported"), [("always_off", "", 0), ("traceidratio", "1.0", 1)])
def test_the_sampler_is_the_operators(
    make_traced: Callable[[], Traced], monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, exported: int
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    traced = make_traced()
    traced.api.post({"prompt": "a"})
    roots = [span for span in traced.all() if span.kind.name == "SERVER"]
    assert len(roots) == exported
    for root in roots:
        assert root.resource.attributes["service.name"] == "mine"
        assert root.resource.attributes["deployment.environment.name"] == "test"
        assert attributes(root)["gateway.product"] == "unlim"


def test_probes_are_no_traces(traced: Traced) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        traced.api.get(path)
    assert traced.all() == []


def test_a_failure_is_told_by_its_class(traced: Traced) -> None:
    traced.api.answers(fail_after=1, error=UnavailableError("The model failed while it answered."))
    assert traced.api.post({"prompt": "a"}).status == 503
    root, engine = traced.one("POST /get-data"), traced.one("chat scripted")
    for span in (root, engine):
        assert span.status.status_code.name == "ERROR"
        assert attributes(span)["error.type"] == "UnavailableError"


@pytest.mark.parametrize(
    ("method", "path", "name", "error"),
    [
        ("POST", "/nowhere", "POST", "NotFound"),
        ("CANARY", "/get-data", "HTTP", "MethodNotAllowed"),
        ("POST", "/get-data", "POST /get-data", "MissingKeyError"),
    ],
)
def test_a_callers_own_fault_is_no_error_of_the_servers(
    traced: Traced, method: str, path: str, name: str, error: str
) -> None:
    traced.api.open(method, path)
    root = traced.one(name)
    assert root.status.status_code.name == "UNSET"
    assert attributes(root)["error.type"] == error
    assert "CANARY" not in str(root.to_json())


def test_a_caller_that_hangs_up_ends_its_trace(traced: Traced) -> None:
    traced.api.answers("four", hold_after=2)
    with traced.api.stream({"prompt": "a", "stream": True}) as stream:
        stream.take(2)
        assert traced.all() == []
    assert attributes(traced.one("POST /get-data"))["http.response.status_code"] == 499
    assert attributes(traced.one("chat scripted"))["gen_ai.usage.output_tokens"] == 2


def test_management_is_traced_without_its_token(traced: Traced) -> None:
    headers = {"Authorization": "Bearer an-admin-token-of-the-tests"}
    assert traced.api.get("/management/products/starter", **headers).status == 200
    root = traced.one("GET /management/products/<pid>")
    assert "an-admin-token" not in str(root.to_json())


def test_nothing_that_a_caller_or_the_model_wrote_is_in_a_span(traced: Traced) -> None:
    traced.api.answers("canaryanswer")
    headers = {"User-Agent": "canary", "Idempotency-Key": "canary"}
    for more in ({"stop": "canary"}, {"canary": 1}, {"model": "canary"}):
        traced.api.post({"prompt": "canary", **more}, "/get-data?canary=canary", **headers)
    traced.api.open("POST", f"/get-data?subscription-key={traced.api.key}", body=b'{"prompt": "canary"}')
    text = "".join(str(span.to_json()) for span in traced.all())
    assert "settlement" in text
    assert "canary" not in text
    assert traced.api.key not in text


def test_a_collector_that_fails_is_told_once_and_breaks_nothing(traced: Traced, log: Log) -> None:
    failure, quoting = SpanExportResult.FAILURE, OSError("refused http://user:password@collector")
    traced.kept.results = [failure, quoting, failure, SpanExportResult.SUCCESS]
    for _ in range(4):
        assert traced.api.post({"prompt": "a"}).status == 200
        traced.all()
    told = [line["event"] for line in log.lines if line["logger"] == "gateway.traces"]
    assert len(told) == 2
    assert "cannot be exported" in told[0]
    assert "again" in told[1]
    assert "password" not in log.text


def called(spans: Spans, store: Store, key: str) -> str:
    """The trace id of one request, whose spans have been sent: `stop` has waited for that."""
    gateway = make_gateway(ScriptedEngine(context_length=CONTEXT_LENGTH), store)
    services = make_services(gateway, Subscriptions(store, KeyHasher(PEPPER)), store, spans=spans)
    app = create_app(services, max_body_bytes=MAX_BODY_BYTES)
    headers = {"Ocp-Apim-Subscription-Key": key}
    try:
        # A number that OTLP cannot hold must not cost the others their spans.
        with app.test_client().post("/get-data", json={"prompt": "a", "seed": 2**70}, headers=headers) as reply:
            assert reply.status_code in {200, 400}
        with app.test_client().post("/get-data", json={"prompt": "a"}, headers=headers) as reply:
            assert reply.status_code == 200
            return reply.headers["X-Trace-Id"]
    finally:
        spans.stop()


def test_otlp_over_http_reaches_a_collector_and_the_last_spans_are_sent_at_the_end(
    store: Store, valid_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = logging.getLogger("opentelemetry").level
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        try:
            trace_id = called(make_spans("http/protobuf"), store, valid_key)
        finally:
            logging.getLogger("opentelemetry").setLevel(level)
        names = {span.name for span in collector.spans if span.trace_id == trace_id}
    assert set(collector.paths) == {"/v1/traces"}
    assert {"key", "queue", "prefill", "decode", "chat scripted", "POST /get-data"} <= names


def test_otlp_over_grpc_reaches_a_collector(store: Store, valid_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    level = logging.getLogger("opentelemetry").level
    received: list[bytes] = []

    def export(request: bytes, _: grpc.ServicerContext) -> bytes:
        received.append(request)
        return b""

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handler = grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export)})
    with ThreadPoolExecutor() as pool:
        server = grpc.server(pool, handlers=(handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        try:
            trace_id = called(make_spans("grpc"), store, valid_key)
        finally:
            server.stop(None).wait()
            logging.getLogger("opentelemetry").setLevel(level)
    assert trace_id in {span.trace_id for body in received for span in spans_of(body)}


@pytest.mark.parametrize("on", [False, True])
def test_without_the_variables_nothing_that_exports_is_imported(tmp_path: Path, on: bool) -> None:  # noqa: FBT001
    # What redis imports of OpenTelemetry is its own.
    (tmp_path / METRICS_FOLDER).mkdir()
    code = (
        "import sys, wsgi, json; wsgi.app.test_client().get('/health/live');"
        "unwanted = ('gateway.spans', 'opentelemetry.exporter');"
        "print(json.dumps([name for name in sys.modules if name.startswith(unwanted)]))"
    )
    environment = {
        "PATH": "/usr/bin",
        "GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path / 'g.sqlite3'}",
        "GATEWAY_KEY_PEPPER": "a pepper for tests only, 32 bytes",
        "GATEWAY_RUNTIME_DIR": str(tmp_path),  # as in a worker
        **({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if on else {}),
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("gateway.spans" in json.loads(done.stdout.splitlines()[-1])) is on
    if not on:
        assert json.loads(done.stdout.splitlines()[-1]) == []
