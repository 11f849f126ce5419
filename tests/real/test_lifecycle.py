"""From start to stop, with deaths in between, on a gateway of its own. The tests run in their order."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
from tests.server import START_SECONDS, GatewayServer, end, launch, wait_for, wait_until_listening, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = "Count from 1 to 300"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    server = launch(tmp_path_factory.mktemp("lifecycle"))
    try:
        wait_until_listening(server)
        yield server
    finally:
        end(server)


def processes(server: GatewayServer) -> dict[int, str]:
    """Every process that the gateway has started, by number, with its title."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    found = {server.process.pid: ""}
    for _ in rows:  # children may be listed before their parents
        found |= {int(row[0]): row[3] for row in rows if int(row[1]) in found and not row[2].startswith("Z")}
    return found


def pid_of(server: GatewayServer, title: str) -> int:
    """The one process with this in its title."""
    return next(pid for pid, args in processes(server).items() if title in args)


def gone(pids: set[int]) -> bool:
    """Whether none of the processes runs any more."""
    return not any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def stream(server: GatewayServer, path: str = "/get-data") -> Iterator[http.client.HTTPResponse]:
    """A streamed answer, of which the first event has come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    asked = {"prompt": LONG} if path == "/get-data" else {"messages": [{"role": "user", "content": LONG}]}
    body = json.dumps({**asked, "temperature": 0, "stream": True})
    headers = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": server.key}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    try:
        assert response.status == 200
        assert response.readline().startswith(b"data: ")
        yield response
    finally:
        connection.close()


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


def test_a_killed_engine_fails_its_streams_and_is_rebuilt(server: GatewayServer) -> None:
    worker = pid_of(server, "worker [")
    with stream(server) as response:
        os.kill(pid_of(server, "EngineCore"), signal.SIGKILL)
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
    *_, event = cut.value.partial.decode().strip().split("\n\n")
    name, _, data = event.partition("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["code"] == 503
    assert b"[DONE]" not in cut.value.partial
    wait_for(lambda: server.get("/health/ready").status == 200, "the new engine")
    assert server.generate("Hello")["finish_reason"] == "stop"
    assert pid_of(server, "worker [") == worker


def test_a_killed_engine_is_told_to_openais_clients_in_their_form(server: GatewayServer) -> None:
    with stream(server, "/v1/chat/completions") as response:
        os.kill(pid_of(server, "EngineCore"), signal.SIGKILL)
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
    *_, event = cut.value.partial.decode().strip().split("\n\n")
    body = json.loads(event.removeprefix("data: "))
    assert body["code"] == 503
    assert body["error"]["message"] == body["message"]
    assert b"[DONE]" not in cut.value.partial
    assert not [line for line in server.log if "Traceback" in line and "chat completion" in line]
    wait_for(lambda: server.get("/health/ready").status == 200, "the new engine")


def test_a_killed_worker_is_replaced_and_leaves_nothing_running(server: GatewayServer) -> None:
    worker = pid_of(server, "worker [")
    with stream(server):
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: gone({worker}), "the worker's end")

    def answers() -> bool:
        try:
            return server.get("/health/ready").status == 200
        except OSError:
            return False

    wait_for(answers, "the new worker", 60)
    assert server.generate("Hello")["finish_reason"] == "stop"
    assert sum("EngineCore" in title for title in processes(server).values()) == 1


def test_a_killed_engine_host_takes_its_engine_with_it_and_is_replaced(server: GatewayServer) -> None:
    host, core = pid_of(server, "vllm.host"), pid_of(server, "EngineCore")
    os.kill(host, signal.SIGKILL)
    wait_for(lambda: gone({host, core}), "the engine's end", 5)
    wait_for(lambda: server.get("/health/ready").status == 200, "the new engine", 60)
    assert server.generate("Hello")["finish_reason"] == "stop"


def test_ctrl_c_lets_a_stream_end_and_leaves_nothing(server: GatewayServer) -> None:
    left = set(processes(server))
    with stream(server) as response:
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        rest = response.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert server.process.wait(30) == 0
    wait_for(lambda: gone(left), "the end of every process", 5)
    assert not list(server.folder.glob("gateway-*"))


def refused(folder: Path, **environment: str) -> GatewayServer:
    """A gateway that is expected not to start; its output is whole."""
    server = launch(folder, **environment)
    try:
        assert server.process.wait(START_SECONDS) == os.EX_CONFIG
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
