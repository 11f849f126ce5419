"""From start to stop, on a gateway of its own, in this order. Deaths in between are in `tests/faults`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
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
    [("PORT", "eighty"), ("GATEWAY_MODEL", "/no/such/folder"), ("GATEWAY_DATABASE_URL", "nonsense")],
)
def test_a_faulty_value_stops_the_start_with_one_line(tmp_path: Path, variable: str, value: str) -> None:
    server = refused(tmp_path, **{variable: value})
    wait_for(lambda: bool(server.log), "the fault")
    assert [line.partition(":")[0] for line in server.log] == [variable]


@pytest.mark.parametrize(
    ("status", "url"), [(os.EX_CONFIG, "nonsense"), (os.EX_UNAVAILABLE, "postgresql://nobody@127.0.0.1:1/nothing")]
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
    server = refused(tmp_path, PORT="eighty", GATEWAY_THREADS="none", GATEWAY_DEV_KEY="not a key")
    wait_for(lambda: len(server.log) == 3, "the faults")
    assert {line.partition(":")[0] for line in server.log} == {"PORT", "GATEWAY_THREADS", "GATEWAY_DEV_KEY"}
    assert "not a key" not in "".join(server.log)


def test_flags_that_vllm_refuses_stop_the_start(tmp_path: Path) -> None:
    server = refused(tmp_path, GATEWAY_ENGINE_ARGS="--no-such-flag 3")
    wait_for(
        lambda: any("GATEWAY_ENGINE_ARGS" in line and "--no-such-flag" in line for line in server.log), "the fault"
    )


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {**os.environ, "PORT": str(taken.getsockname()[1]), "TMPDIR": str(tmp_path)}
        environment["GATEWAY_DATABASE_URL"] = f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode != 0
    assert "in use" in done.stderr
