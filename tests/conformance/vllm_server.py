"""VLLM's own server as tests start it: the demo model, with the flags and the environment of the gateway's engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.engines.vllm.supervisor import set_engine_environment
from gateway.settings import ROOT, Settings
from tests.server import START_SECONDS, STOP_SECONDS, Reply, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# `vllm serve` looks for a distribution of that name, and the CPU build has another one; this is what it runs.
_MODULE = "vllm.entrypoints.openai.api_server"


class VllmServer:
    """A running one; `url` has no slash at the end."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def post(self, path: str, body: object) -> Reply:
        """POST JSON; a failure's answer is an answer as well."""
        content = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return Reply(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())


def _environment() -> dict[str, str]:
    before = dict(os.environ)
    try:
        set_engine_environment(_settings().engine_flags)
        return dict(os.environ)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _settings() -> Settings:
    return Settings.model_construct()  # the defaults, whatever the environment says


@contextmanager
def serving(
    folder: Path,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
) -> Iterator[VllmServer]:
    """One that is ready, stopped at the end. Its output lies in the folder.

    Args:
        folder: where its output goes.
        settings: they name the model and the engine's flags; the defaults without them.
        environment: all of its variables; those of the gateway's engine without them.
        flags: more of `vllm serve`.
    """
    settings = settings or _settings()
    # vLLM binds it anew: on a port that the system has just given out, nobody else comes in between.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ["--served-model-name", *settings.model_names, "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", _MODULE, "--model", settings.model, *names, *settings.engine_flags, *flags]
    output = folder / "vllm.txt"
    with output.open("w") as written:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment or _environment(),
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = VllmServer(f"http://127.0.0.1:{port}", process)

    def answers() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=5):
                return True
        except OSError:
            return False

    try:
        wait_for(answers, "vLLM's server", START_SECONDS)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
