"""From start to stop, on a gateway of its own, in this order. Deaths in between are in `tests/faults`."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.processes import gone, processes
from tests.server import START_SECONDS, GatewayServer, end, launch, wait_for, wait_until_listening, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    server = launch(tmp_path_factory.mktemp("lifecycle"))
    try:
        wait_until_listening(server)
        yield server
    finally:
        end(server)


def test_answers_before_the_model_is_loaded(server: GatewayServer) -> None:
    wait_for(lambda: server.get("/health/live").status == 200, "liveness")
    ready = server.get("/health/ready")
    assert ready.status == 503
    assert int(ready.headers["Retry-After"]) > 0
    assert ready.json["code"] == 503
    assert 0 <= ready.json["step"] < ready.json["steps"]
    refused = server.post("/get-data", {"prompt": "Hello"})
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0


def test_becomes_ready_and_then_answers(server: GatewayServer) -> None:
    wait_until_ready(server)
    ready = server.get("/health/ready")
    assert ready.status == 200
    assert ready.json["step"] == ready.json["steps"]
    assert server.generate("Hello")["finish_reason"] == "stop"


def test_stops_and_leaves_nothing(server: GatewayServer) -> None:
    left = set(processes(server))
    assert server.stop() == 0
    wait_for(lambda: gone(left), "the end of every process", 5)
    assert not list(server.folder.glob("gateway-*"))
    assert not [path for path in server.folder.iterdir() if path.is_socket()]  # vLLM's own


def refused(folder: Path, status: int = os.EX_CONFIG, /, **environment: str) -> GatewayServer:
    """A gateway that is expected not to start; its output is whole."""
    server = launch(folder, **environment)
    try:
        assert server.process.wait(START_SECONDS) == status
    finally:
        end(server)
    return server


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("GATEWAY_MODEL", "/no/such/folder"),
        ("GATEWAY_DATABASE_URL", "nonsense"),
        ("GATEWAY_BIND", "192.0.2.1:8000"),  # an address for documents: no machine has it
        ("GATEWAY_BIND", "unix:/no/such/folder/gateway.sock"),
    ],
)
def test_a_faulty_value_stops_the_start_with_one_line(tmp_path: Path, variable: str, value: str) -> None:
    server = refused(tmp_path, **{variable: value})
    wait_for(lambda: bool(server.log), "the fault")
    assert [line.partition(":")[0] for line in server.log] == [variable]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "url"),
    [
        (os.EX_CONFIG, "postgresql+psycopg2://nobody@127.0.0.1/nothing"),  # a driver that is not installed
        (os.EX_UNAVAILABLE, "postgresql://nobody@127.0.0.1:1/nothing"),
    ],
)
def test_an_engine_that_was_started_already_is_not_left(tmp_path: Path, status: int, url: str) -> None:
    server = refused(tmp_path, status, GATEWAY_DATABASE_URL=url)
    wait_for(lambda: bool(server.log), "the fault")
    assert [line.partition(":")[0] for line in server.log] == ["GATEWAY_DATABASE_URL"]

    wait_for(lambda: not hosts_in(tmp_path), "the end of every process", 5)
    assert not list(tmp_path.glob("gateway-*"))


def test_a_stop_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    server = launch(tmp_path)
    try:
        wait_for(lambda: bool(hosts_in(tmp_path)), "the engine host")  # the key store is not there yet
        server.process.terminate()
        assert server.process.wait(START_SECONDS) == 0
    finally:
        end(server)
    wait_for(lambda: not hosts_in(tmp_path), "the end of every process", 5)
    assert not list(tmp_path.glob("gateway-*"))


def hosts_in(folder: Path) -> list[str]:
    """The processes that were given this folder, or one in it: the engine host, and what it was forked into."""
    listed = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    bad = {
        "GATEWAY_BIND": "192.0.2.1:8000",
        "GATEWAY_THREADS": "none",
        "GATEWAY_DEV_KEY": "not a key",
        "GATEWAY_DATABASE_URL": "nonsense",
    }
    server = refused(tmp_path, **bad)
    wait_for(lambda: len(server.log) == len(bad), "the faults")
    assert {line.partition(":")[0] for line in server.log} == set(bad)
    assert "not a key" not in "".join(server.log)


@pytest.mark.parametrize(
    ("flags", "variables", "cause"),
    [
        ("--no-such-flag 3", "GATEWAY_ENGINE_ARGS", "--no-such-flag"),
        ("--max-model-len 999999", "GATEWAY_MODEL or GATEWAY_ENGINE_ARGS", "max_model_len"),
    ],
)
def test_flags_that_vllm_refuses_stop_the_start(tmp_path: Path, flags: str, variables: str, cause: str) -> None:
    server = refused(tmp_path, GATEWAY_ENGINE_ARGS=flags)
    wait_for(lambda: any(line.startswith(f"{variables}: ") and cause in line for line in server.log), "the fault")
    assert not any("tried again" in line for line in server.log)


def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = refused(tmp_path, PORT=str(taken.getsockname()[1]))
    wait_for(lambda: bool(server.log), "the fault")
    (line,) = server.log
    assert line.startswith("PORT: ")
    assert "in use" in line
    assert not list(tmp_path.iterdir())
