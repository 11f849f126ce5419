"""The environment: each variable's default, its good and its bad values, and how all faults are told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.settings import DEMO_MODEL, ROOT, Settings, SettingsError, load_address, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Load = Callable[..., Settings]

HEX = "0123456789abcdef" * 2


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Loads the settings of an environment with nothing in it but what is given, and a model that exists."""

    def load(**variables: str) -> Settings:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in {"GATEWAY_MODEL": str(tmp_path), **variables}.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


def faults(load: Load, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    assert str(caught.value) == "\n".join(caught.value.faults)
    assert all("\n" not in fault for fault in caught.value.faults)
    return caught.value.faults


def test_without_variables_everything_has_its_default(load: Load) -> None:
    settings = load()
    assert settings.address == "127.0.0.1:8000"
    assert settings.served_model_name == settings.engine_args == []
    assert settings.engine_flags == ["--scheduling-policy=priority"]
    assert settings.database_url == f"sqlite:///{ROOT}/var/gateway.sqlite3"
    assert settings.uses_default_database
    assert (settings.key_pepper, settings.dev_key, settings.admin_token, settings.runtime_dir) == (None,) * 4
    assert settings.redis_url is None
    assert (settings.workers, settings.threads) == (1, 256)
    assert settings.max_body_bytes == 1_048_576
    assert (settings.request_timeout, settings.drain_timeout, settings.read_timeout) == (600.0, 60.0, 30.0)


def test_an_empty_variable_counts_as_unset(load: Load) -> None:
    empty = dict.fromkeys(sorted(str(field.validation_alias) for field in Settings.model_fields.values()), "")
    del empty["GATEWAY_MODEL"]
    assert load(**empty) == load()


GOOD = [
    ("PORT", "0", "port", 0),
    ("PORT", "65535", "port", 65535),
    ("PORT", "80", "address", "127.0.0.1:80"),
    ("GATEWAY_BIND", "0.0.0.0:80", "address", "0.0.0.0:80"),
    ("GATEWAY_BIND", "gateway.example:8000", "address", "gateway.example:8000"),
    ("GATEWAY_BIND", "[::1]:8000", "address", "[::1]:8000"),
    ("GATEWAY_BIND", "[::]:0", "address_variable", "GATEWAY_BIND"),
    ("PORT", "80", "address_variable", "PORT"),
    ("GATEWAY_BIND", "unix:/run/gateway.sock", "address", "unix:/run/gateway.sock"),
    ("GATEWAY_MODEL", "meta-llama/Llama-2-7b-chat-hf", "model_names", ["meta-llama/Llama-2-7b-chat-hf"]),
    ("GATEWAY_SERVED_MODEL_NAME", "a", "model_names", ["a"]),
    ("GATEWAY_SERVED_MODEL_NAME", " a , org/b ,", "model_names", ["a", "org/b"]),
    ("GATEWAY_SERVED_MODEL_NAME", "b,a,,b, a", "model_names", ["b", "a"]),
    ("GATEWAY_SERVED_MODEL_NAME", " , ", "served_model_name", []),
    ("GATEWAY_ENGINE_ARGS", "--a=1 --b 'c d'", "engine_args", ["--a=1", "--b", "c d"]),
    ("GATEWAY_DATABASE_URL", "postgresql+psycopg://u:p@h/d", "database_url", "postgresql+psycopg://u:p@h/d"),
    ("GATEWAY_DATABASE_URL", "postgresql://u:p%40!@[::1]:5432/d?x=y", "uses_default_database", False),
    ("GATEWAY_DATABASE_URL", "sqlite:///x", "uses_default_database", False),
    *[
        ("GATEWAY_REDIS_URL", url, "redis_url", url)
        for url in (
            "redis://localhost",
            "redis://:p%40ss@[::1]:6379/15",
            "rediss://user:password@redis.example:6380/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
            "unix:///run/redis.sock?db=1",
        )
    ],
    ("GATEWAY_KEY_PEPPER", "p" * 32, "key_pepper", "p" * 32),
    ("GATEWAY_DEV_KEY", HEX, "dev_key", HEX),
    ("GATEWAY_ADMIN_TOKEN", "t" * 16, "admin_token", "t" * 16),
    ("GATEWAY_WORKERS", "1", "workers", 1),
    ("GATEWAY_WORKERS", "64", "workers", 64),
    ("GATEWAY_THREADS", "1", "threads", 1),
    ("GATEWAY_THREADS", "4096", "threads", 4096),
    ("GATEWAY_MAX_BODY_BYTES", "1024", "max_body_bytes", 1024),
    ("GATEWAY_REQUEST_TIMEOUT", "0.5", "request_timeout", 0.5),
    ("GATEWAY_REQUEST_TIMEOUT", "604800", "request_timeout", 604800.0),
    ("GATEWAY_DRAIN_TIMEOUT", "1", "drain_timeout", 1.0),
    ("GATEWAY_READ_TIMEOUT", "1", "read_timeout", 1.0),
    ("GATEWAY_QUEUE_TIMEOUT", "0.5", "queue_timeout", 0.5),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:password@[::1]:4318/x", "trace_exporter", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector.example/v1/traces", "trace_exporter", "http/protobuf"),
    ("OTEL_TRACES_EXPORTER", "otlp", "trace_exporter", "http/protobuf"),
    ("OTEL_TRACES_EXPORTER", "console", "trace_exporter", "console"),
    ("OTEL_TRACES_EXPORTER", "none", "trace_exporter", None),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "trace_exporter", None),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "trace_exporter", None),
    ("OTEL_SDK_DISABLED", "true", "trace_exporter", None),
]
TIMES = ["0", "-1", "nan", "inf", "-inf", "604801", "1e300", "soon"]
COLLECTORS = [
    "localhost:4317",
    "collector.example",
    "ftp://collector.example",
    "http:///v1",
    "http://[::1",
    "http://h:port",
]
BAD = {
    "PORT": ["-1", "65536", "http", "8000.5", "0x50"],
    "GATEWAY_BIND": [
        *["8000", ":8000", "localhost", "localhost:65536", "localhost:", "a b:80", "http://h:80", "unix:"],
        *["256.1.1.1:8000", "1.2.3.4.5:8000", "[1::2::3]:8000", "a..b:8000", f"unix:/{'x' * 107}"],
    ],
    "GATEWAY_MODEL": ["/no/such/folder", "./nope", "../nope", "~nobody-here/x", "a/b/c", "a b/c", "gpt2", "x" * 5000],
    "GATEWAY_ENGINE_ARGS": ["--a 'b", '"'],
    "GATEWAY_DATABASE_URL": [
        "nonsense",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "postgres://u:secret@h/d",
        "mysql://u:secret@h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql+nonesuch://u:secret@h/d",
    ],
    "GATEWAY_REDIS_URL": [
        "localhost:6379",
        "http://localhost",
        "redis:///0",
        "redis://:password@/0",
        "redis://localhost:port",
        "redis://localhost:65536",
        "redis://localhost:0",
        "redis://localhost/first",
        "redis://localhost/0/1",
        "redis://localhost?socket_timeout=60",
        "redis://local host",
        "redis://redis..example",
        "redis://[::1",
        "redis://localhost#0",
        "rediss://localhost?nonesuch=1",
        "rediss://localhost?nonesuch",
        "unix://?db=1",
        "rediss://u:secret@localhost?ssl_cert_reqs=perhaps",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?db=first",
    ],
    "GATEWAY_KEY_PEPPER": ["p" * 31],
    "GATEWAY_DEV_KEY": [HEX[:-1], HEX + "0", HEX.upper(), "g" * 32, f"{HEX}\n"],
    "GATEWAY_ADMIN_TOKEN": ["t" * 15, "with a space in it", "t" * 16 + "\n", "é" * 16],
    "GATEWAY_WORKERS": ["0", "65", "-1", "1.5", "auto"],
    "GATEWAY_THREADS": ["0", "4097", "many"],
    "GATEWAY_MAX_BODY_BYTES": ["1023", "0", "-1", "1MiB"],
    "GATEWAY_REQUEST_TIMEOUT": TIMES,
    "GATEWAY_DRAIN_TIMEOUT": TIMES,
    "GATEWAY_READ_TIMEOUT": TIMES,
    "GATEWAY_QUEUE_TIMEOUT": TIMES,
    "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTORS,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": COLLECTORS,
    "OTEL_TRACES_EXPORTER": ["zipkin", "otlp,console", "OTLP"],
    "OTEL_EXPORTER_OTLP_PROTOCOL": ["http/json", "http", "gRPC"],
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ["http/json"],
}
ANYTHING_GOES = {"GATEWAY_SERVED_MODEL_NAME", "GATEWAY_RUNTIME_DIR", "OTEL_SDK_DISABLED"}


TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", TRACES_PROTOCOL: "http/protobuf"}, "http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_SDK_DISABLED": " TRUE "}, None),
        ({"OTEL_SDK_DISABLED": "false"}, "http/protobuf"),
    ],
)
def test_how_traces_leave_is_said_by_several_variables(load: Load, more: dict[str, str], expected: str | None) -> None:
    assert load(**COLLECTOR, **more).trace_exporter == expected


@pytest.mark.parametrize(("variable", "value", "attribute", "expected"), GOOD)
def test_a_good_value_is_taken(load: Load, variable: str, value: str, attribute: str, expected: object) -> None:
    assert getattr(load(**{variable: value}), attribute) == expected


@pytest.mark.parametrize(("variable", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_one_line_that_names_the_variable(load: Load, variable: str, value: str) -> None:
    (fault,) = faults(load, **{variable: value})
    assert fault.startswith(f"{variable}: ")
    assert len(fault) > len(variable) + 10
    assert len(value) < 6 or value not in fault  # it may be a secret
    assert "secret" not in fault


def test_every_variable_has_its_good_and_its_bad_values_here() -> None:
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {name for name, *_ in GOOD} | {"GATEWAY_RUNTIME_DIR"} == variables
    assert set(BAD) | ANYTHING_GOES == variables
    assert all(field.description for field in Settings.model_fields.values())


def test_all_faults_are_told_at_once_one_line_each(load: Load) -> None:
    found = faults(load, **{variable: values[0] for variable, values in BAD.items()})
    assert sorted(fault.partition(":")[0] for fault in found) == sorted(BAD)


def test_the_address_is_read_where_others_are_at_fault(load: Load) -> None:
    faults(load, PORT="80", GATEWAY_THREADS="none")
    address = load_address()
    assert address is not None
    assert address.address == "127.0.0.1:80"


@pytest.mark.parametrize("variable", ["PORT", "GATEWAY_BIND"])
def test_an_address_that_is_at_fault_itself_is_none(load: Load, variable: str) -> None:
    faults(load, **{variable: "nowhere"})
    assert load_address() is None


def test_a_default_that_does_not_do_is_told_under_the_name_of_its_variable(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Settings.model_fields["model"], "default", str(tmp_path / "not made yet"))
    Settings.model_rebuild(force=True)
    try:
        (fault,) = faults(load, GATEWAY_MODEL="")
    finally:
        monkeypatch.undo()
        Settings.model_rebuild(force=True)
    assert fault.startswith("GATEWAY_MODEL: ")


@pytest.mark.parametrize(
    "name", ["MODEL", "DATABASE_URL", "WORKERS", "THREADS", "BIND", "DEV_KEY", "port", "gateway_port", "GATEWAY_PORT"]
)
def test_a_variable_that_is_not_documented_is_not_read(load: Load, name: str) -> None:
    assert load(**{name: "17"}) == load()


def test_no_secret_is_in_the_text_of_the_settings(load: Load) -> None:
    secrets = {
        "GATEWAY_KEY_PEPPER": "pepper-" * 5,
        "GATEWAY_DEV_KEY": HEX,
        "GATEWAY_ADMIN_TOKEN": "admin-token-" * 2,
        "GATEWAY_DATABASE_URL": "postgresql+psycopg://user:password@host/name",
        "GATEWAY_REDIS_URL": "redis://user:password@host/0",
    }
    settings = load(**secrets)
    assert not any(secret in f"{settings!r} {settings}" for secret in secrets.values())


def test_a_model_folder_is_known_by_its_name_and_found_from_anywhere(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = load(GATEWAY_MODEL="./my-model")
    assert settings.model == str(tmp_path / "my-model")
    assert settings.model_names == ["my-model"]
    assert load(HOME=str(tmp_path), GATEWAY_MODEL="~/my-model").model == settings.model


def test_the_demo_model_has_its_flags_and_its_second_name() -> None:
    demo = Settings.model_construct(model=str(DEMO_MODEL), served_model_name=[], engine_args=["--dtype=auto"])
    assert demo.is_demo
    assert demo.model_names == ["get-data-demo", "meta/llama2-70b"]
    assert "--enforce-eager" in demo.engine_flags
    assert demo.engine_flags[-1] == "--dtype=auto"  # the operator's come last and win


def test_settings_cannot_be_changed(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1
