"""Every variable that the operator sets: its type, its default, its meaning. The only reader of the environment."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.addresses import check_bind, check_collector, check_database, check_redis

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "deploy" / "demo_model" / "get-data-demo"
DEMO_SECOND_NAME = "meta/llama2-70b"
# float32 is what the weights are stored in: greedy answers are then those of transformers, id for id.
_DEMO_FLAGS = [
    "--dtype=float32",
    "--enforce-eager",
    "--max-num-seqs=64",
    "--kv-cache-memory-bytes=1G",
    # So that a tool can be called for: the model itself has never seen one.
    "--enable-auto-tool-choice",
    "--tool-call-parser=hermes",
]

_HUGGING_FACE_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# Python waits on a lock or a queue for no more than some hundred years, so no time is without an end.
_LONGEST = 7 * 86_400.0
_SHORTEST_PEPPER = 32
_SHORTEST_ADMIN_TOKEN = 16
TraceExporter = Literal["http/protobuf", "grpc", "console"]
"""How traces leave: by one of OTLP's protocols, or to standard output."""

_Protocol = Literal["http/protobuf", "grpc"]


class SettingsError(Exception):
    """One or more variables have a faulty value; `faults` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _commas(value: object) -> object:
    if not isinstance(value, str):
        return value
    return list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _shell_words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def _model(value: str) -> str:
    # A user that does not exist, a name too long for the file system, a folder that may not be entered.
    with contextlib.suppress(RuntimeError, OSError):
        folder = Path(value).expanduser()
        if folder.is_dir():
            return str(folder.resolve())
    if _HUGGING_FACE_ID.fullmatch(value):
        return value
    raise ValueError("is neither a folder that exists nor a Hugging Face id such as meta-llama/Llama-2-7b-chat-hf")


def _dev_key(value: str) -> str:
    if re.fullmatch(r"[0-9a-f]{32}", value) is None:
        raise ValueError("should be 32 lower-case hex digits")
    return value


def _pepper(value: str) -> str:
    if len(value) < _SHORTEST_PEPPER:
        raise ValueError(f"should have at least {_SHORTEST_PEPPER} characters")
    return value


def _admin_token(value: str) -> str:
    if len(value) < _SHORTEST_ADMIN_TOKEN:
        raise ValueError(f"should have at least {_SHORTEST_ADMIN_TOKEN} characters")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("should have printable ASCII characters only, without spaces")
    return value


class Address(BaseSettings):
    """Where the server listens. It is read apart where others are at fault, so that it is tried as well."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True)

    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias="PORT",
        description="port on 127.0.0.1; 0 lets the system choose",
    )
    bind: Annotated[str, AfterValidator(check_bind)] | None = Field(
        None,
        validation_alias="GATEWAY_BIND",
        description="another address than 127.0.0.1:PORT, as HOST:PORT or unix:PATH",
    )

    @property
    def address(self) -> str:
        """What the server binds to, in gunicorn's notation."""
        return self.bind or f"127.0.0.1:{self.port}"

    @property
    def address_variable(self) -> str:
        """The variable that the address came from."""
        return "GATEWAY_BIND" if self.bind else "PORT"


class Settings(Address):
    """The operator's choices, read once at the start of a process by `load_settings`."""

    model: Annotated[str, AfterValidator(_model)] = Field(
        str(DEMO_MODEL),
        validation_alias="GATEWAY_MODEL",
        description="a folder or a Hugging Face id; without it the demo model",
    )
    served_model_name: Annotated[list[str], NoDecode, BeforeValidator(_commas)] = Field(
        [],
        validation_alias="GATEWAY_SERVED_MODEL_NAME",
        description="names that requests may use, comma-separated; the first is what answers show",
    )
    engine_args: Annotated[list[str], NoDecode, BeforeValidator(_shell_words)] = Field(
        [],
        validation_alias="GATEWAY_ENGINE_ARGS",
        description="engine flags of `vllm serve`, as on its command line",
    )
    database_url: Annotated[str, AfterValidator(check_database)] = Field(
        f"sqlite:///{ROOT / 'var' / 'gateway.sqlite3'}",
        validation_alias="GATEWAY_DATABASE_URL",
        repr=False,  # it may hold a password
        description="SQLAlchemy URL of the key store; without it SQLite in ./var",
    )
    redis_url: Annotated[str, AfterValidator(check_redis)] | None = Field(
        None,
        repr=False,  # it may hold a password
        validation_alias="GATEWAY_REDIS_URL",
        description="Redis that shares call rates between workers and hosts",
    )
    key_pepper: Annotated[str, AfterValidator(_pepper)] | None = Field(
        None,
        repr=False,
        validation_alias="GATEWAY_KEY_PEPPER",
        description="secret that keys are hashed with; without it a file made once in ./var",
    )
    dev_key: Annotated[str, AfterValidator(_dev_key)] | None = Field(
        None,
        repr=False,
        validation_alias="GATEWAY_DEV_KEY",
        description="primary key of the subscription `dev`; without it one is made on first start and printed once",
    )
    admin_token: Annotated[str, AfterValidator(_admin_token)] | None = Field(
        None, repr=False, validation_alias="GATEWAY_ADMIN_TOKEN", description="turns the management API on"
    )
    workers: int = Field(1, ge=1, le=64, validation_alias="GATEWAY_WORKERS", description="gunicorn worker processes")
    threads: int = Field(
        256,
        ge=1,
        le=4096,
        validation_alias="GATEWAY_THREADS",
        description="requests at a time in each worker",
    )
    max_body_bytes: int = Field(
        1 << 20,
        ge=1024,
        validation_alias="GATEWAY_MAX_BODY_BYTES",
        description="largest request body in bytes",
    )
    request_timeout: float = Field(
        600.0,
        gt=0,
        le=_LONGEST,
        validation_alias="GATEWAY_REQUEST_TIMEOUT",
        description="seconds until a request is answered with 504",
    )
    drain_timeout: float = Field(
        60.0,
        gt=0,
        le=_LONGEST,
        validation_alias="GATEWAY_DRAIN_TIMEOUT",
        description="seconds that running requests get at a stop",
    )
    read_timeout: float = Field(
        30.0,
        gt=0,
        le=_LONGEST,
        validation_alias="GATEWAY_READ_TIMEOUT",
        description="seconds in which a whole request must have arrived",
    )

    queue_timeout: float = Field(
        30.0,
        gt=0,
        le=_LONGEST,
        validation_alias="GATEWAY_QUEUE_TIMEOUT",
        description="longest queue before the engine, in seconds; who would join a longer one is refused with 503",
    )

    # OpenTelemetry's own, of which its SDK reads more: whether there are traces, and how they leave.
    otel_sdk_disabled: str | None = Field(
        None,
        validation_alias="OTEL_SDK_DISABLED",
        description="`true` keeps traces off, whatever else is set",
    )
    otel_traces_exporter: Literal["otlp", "console", "none"] | None = Field(
        None,
        validation_alias="OTEL_TRACES_EXPORTER",
        description="`otlp` or `console` turns traces on, `none` off",
    )
    otlp_endpoint: Annotated[str, AfterValidator(check_collector)] | None = Field(
        None,
        repr=False,  # it may hold a password
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="URL of a collector; turns traces on. Over HTTP, `/v1/traces` is added to it",
    )
    otlp_traces_endpoint: Annotated[str, AfterValidator(check_collector)] | None = Field(
        None,
        repr=False,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="the same, as it is, for traces alone",
    )
    otlp_protocol: _Protocol | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="`http/protobuf`, or `grpc`",
    )
    otlp_traces_protocol: _Protocol | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        description="the same for traces alone",
    )

    runtime_dir: Path | None = Field(
        None,
        validation_alias="GATEWAY_RUNTIME_DIR",
        description="where the gateway's processes meet; set by the master for its workers",
    )

    @property
    def engine_flags(self) -> list[str]:
        """Flags of `vllm serve` for the engine; the operator's come last and win."""
        demo = _DEMO_FLAGS if self.is_demo else []
        # Products have priorities, and subscriptions take turns (`Gateway.generate`).
        return ["--scheduling-policy=priority", *demo, *self.engine_args]

    @property
    def trace_exporter(self) -> TraceExporter | None:
        """How traces are exported; None where they are off."""
        chosen = self.otel_traces_exporter
        if chosen is None and (self.otlp_endpoint or self.otlp_traces_endpoint):
            chosen = "otlp"
        if chosen in {None, "none"} or (self.otel_sdk_disabled or "").strip().lower() == "true":
            return None
        return "console" if chosen == "console" else self.otlp_traces_protocol or self.otlp_protocol or "http/protobuf"

    @property
    def uses_default_database(self) -> bool:
        """Whether keys are in the SQLite file that the gateway makes by itself."""
        return bool(self.database_url == Settings.model_fields["database_url"].default)

    @property
    def is_demo(self) -> bool:
        """Whether the model is the one that comes with the project."""
        return Path(self.model) == DEMO_MODEL

    @property
    def model_names(self) -> list[str]:
        """The names that requests may use; the first is what answers show."""
        if self.served_model_name:
            return self.served_model_name
        if self.is_demo:
            return [DEMO_MODEL.name, DEMO_SECOND_NAME]
        return [Path(self.model).name if Path(self.model).is_absolute() else self.model]


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsError: one line for each variable at fault; the value itself is not in it, since it may be a secret.
    """
    try:
        return Settings()  # type: ignore[call-arg]  # every field comes from the environment
    except ValidationError as error:
        faults = [_fault(dict(fault)) for fault in error.errors(include_url=False, include_input=False)]
        raise SettingsError(faults) from None


def load_address() -> Address | None:
    """Where the server would listen, whatever else is at fault; None where that is at fault itself."""
    try:
        return Address()  # type: ignore[call-arg]  # as above
    except ValidationError:
        return None


def _fault(fault: dict[str, object]) -> str:
    location = fault["loc"]
    variable = str(location[0]) if isinstance(location, tuple) and location else "?"
    if variable in Settings.model_fields:  # a default that does not do is reported under the field's own name
        variable = str(Settings.model_fields[variable].validation_alias)
    text = str(fault["msg"]).removeprefix("Value error, ")
    return f"{variable}: {text}"
