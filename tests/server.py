"""The real gateway as tests start it: gunicorn, vLLM, the demo model, a SQLite file of its own, on a free port."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_SECONDS = 180.0
# As the tests were started: what vLLM puts into the environment when a test imports it is not for the gateway.
_ENVIRONMENT = dict(os.environ)
STOP_SECONDS = 30.0


@dataclass
class Reply:
    """An HTTP answer, whole."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        found: dict[str, Any] = json.loads(self.content)
        return found


@dataclass
class GatewayServer:
    """A running gateway.

    Attributes:
        url: such as `http://127.0.0.1:41234`, without a slash at the end.
        key: primary key of the subscription `dev`.
        folder: holds the database, and below it the gateway's private folder.
        output: lines of standard output so far.
        log: lines of standard error so far.
    """

    process: subprocess.Popen[str]
    key: str
    folder: Path
    environment: dict[str, str]
    url: str = ""
    output: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def runtime_dir(self) -> Path:
        """Where its processes meet."""
        return next(self.folder.glob("gateway-*"))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def post(self, path: str, body: object, **headers: str) -> Reply:
        """POST JSON with the key; a failure's answer is an answer as well. `None` for a header leaves it out."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": self.key}
        all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._send(urllib.request.Request(self.url + path, content, all_headers, method="POST"))

    def get(self, path: str) -> Reply:
        """GET without a key."""
        return self._send(urllib.request.Request(self.url + path))

    def generate(self, prompt: str, **fields: object) -> dict[str, Any]:
        """The answer of Get Data, or with `system_prompt` of System Prompt Get Data; greedy unless told otherwise."""
        path = "/system-prompt-get-data" if "system_prompt" in fields else "/get-data"
        reply = self.post(path, {"prompt": prompt, "temperature": 0, **fields})
        assert reply.status == 200, reply.content
        return reply.json

    def request_log(self, trace_id: str) -> dict[str, Any]:
        """The log line of a request, as soon as it is written."""
        found: list[dict[str, Any]] = []

        def written() -> bool:
            lines = [line for line in list(self.log) if trace_id in line and '"event": "request"' in line]
            found.extend(map(json.loads, lines))
            return bool(found)

        wait_for(written, f"the log line of {trace_id}")
        return found[0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    @staticmethod
    def _send(request: urllib.request.Request) -> Reply:
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return Reply(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail the test when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.01)


def launch(folder: Path, log_file: Path | None = None, /, **environment: str) -> GatewayServer:
    """Start a gateway and return at once. Whoever calls this stops it.

    Args:
        folder: for its database and its private folder.
        log_file: where its standard error goes; None for a pipe.
        environment: its settings.
    """
    key = secrets.token_hex(16)
    full = {
        **{name: value for name, value in _ENVIRONMENT.items() if not name.startswith("GATEWAY_")},
        "PORT": "0",
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder / 'gateway.sqlite3'}",
        "GATEWAY_KEY_PEPPER": "a pepper for tests only, 32 bytes",
        "GATEWAY_DEV_KEY": key,
        "TMPDIR": str(folder),
        **environment,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]
    errors = subprocess.PIPE if log_file is None else log_file.open("a")
    process = subprocess.Popen(
        command, cwd=ROOT, env=full, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
    )
    server = GatewayServer(process, key, folder, full)
    threading.Thread(target=_collect, args=(process.stdout, server.output), daemon=True).start()
    if log_file is None or isinstance(errors, int):
        threading.Thread(target=_collect, args=(process.stderr, server.log), daemon=True).start()
    else:
        errors.close()
        threading.Thread(target=_follow, args=(log_file, process, server.log), daemon=True).start()
    return server


def wait_until_listening(server: GatewayServer) -> None:
    """Wait until its port answers, which is long before its model does; sets `url`."""

    def listening() -> bool:
        assert server.process.poll() is None, "\n".join(server.log)
        found = next(
            (found for line in server.log if (found := re.search(r"Listening at: (http://[^ ]+)", line))), None
        )
        server.url = found[1] if found else ""
        return bool(server.url)

    wait_for(listening, "the port", START_SECONDS)


def wait_until_ready(server: GatewayServer) -> None:
    """Wait until a prompt would be answered."""
    wait_until_listening(server)

    def welcomed() -> bool:
        assert server.process.poll() is None, "\n".join(server.log)
        return any(line.startswith("curl ") for line in server.output)

    wait_for(welcomed, "the engine", START_SECONDS)


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[GatewayServer]:
    """A gateway that is ready, stopped at the end."""
    server = launch(folder, **environment)
    try:
        wait_until_ready(server)
        yield server
    finally:
        end(server)


def end(server: GatewayServer) -> None:
    """Stop a gateway if it still runs, and make sure that nothing of it is left."""
    if server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            raise


def _collect(stream: Any, lines: list[str]) -> None:
    with stream:
        lines.extend(line.rstrip("\n") for line in stream)


def _follow(path: Path, process: subprocess.Popen[str], lines: list[str]) -> None:
    """Read along in a file that a process writes."""
    with path.open() as stream:
        line = ""
        while line or process.poll() is None:
            line = stream.readline()
            if line:
                lines.append(line.rstrip("\n"))
            else:
                time.sleep(0.02)
