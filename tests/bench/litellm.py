"""LiteLLM's proxy, as others put it in front of `vllm serve`: installed into an environment of its own, from PyPI.

Its own advice for production is followed as far as it makes it fast: a configuration file, `LITELLM_MODE=PRODUCTION`,
errors only in its log, one worker for each that the gateway has. Callers send its master key. It has no database, so it
checks and counts nothing for a caller, which is the least that it can have to do.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.settings import ROOT
from tests.server import START_SECONDS, STOP_SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "1.108.7"
_HOME = ROOT / ".venv-litellm"


@dataclass(frozen=True)
class Proxy:
    """A running one."""

    process: subprocess.Popen[bytes]
    port: int
    key: str


class NotInstalledError(Exception):
    """It could not be installed; the text says why."""


def install() -> None:
    """Install it, if it is not there in this version.

    Raises:
        NotInstalledError: pip does not find it, or cannot.
    """
    pip = [str(_HOME / "bin" / "python"), "-m", "pip"]
    wanted = f"litellm[proxy]=={VERSION}"
    marker = _HOME / "installed"
    if marker.exists() and marker.read_text() == wanted:
        return
    sys.stderr.write(f"installing {wanted} into {_HOME.name}, which takes some minutes\n")
    for command in ([sys.executable, "-m", "venv", str(_HOME)], [*pip, "install", "--quiet", wanted]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalledError(f"{wanted} could not be installed: {done.stderr[-2000:]}")
    marker.write_text(wanted)


@contextmanager
def proxying(folder: Path, api_base: str, model: str, workers: int) -> Iterator[Proxy]:
    """One in front of a server of OpenAI's API, ready, stopped at the end. Its output lies in the folder.

    Args:
        folder: for its configuration and output.
        api_base: such as `http://127.0.0.1:41234/v1`.
        model: the name that the server and the proxy know it by.
        workers: how many processes.
    """
    key = f"sk-{secrets.token_hex(16)}"
    # JSON is YAML.
    behind = {"model": f"hosted_vllm/{model}", "api_base": api_base, "api_key": "none"}
    config = folder / "litellm.yaml"
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": model, "litellm_params": behind}],
                "general_settings": {"master_key": key},
                "litellm_settings": {"set_verbose": False, "request_timeout": 600},
            }
        )
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": f"{_HOME / 'bin'}:{os.environ.get('PATH', '')}",
        "HOME": str(folder),
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks for prices on the network
    }
    command = [str(_HOME / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    output = folder / "litellm.txt"
    with output.open("wb") as written:
        process = subprocess.Popen(
            [*command, "--num_workers", str(workers)],
            cwd=folder,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(output.read_text(errors="replace")[-4000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/readiness", timeout=5):
                return True
        except OSError:
            return False

    try:
        wait_for(answers, "LiteLLM's proxy", START_SECONDS)
        yield Proxy(process, port, key)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
