"""How the tests start each client program, and what they need for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

HERE = Path(__file__).parent
TIMEOUT = 100  # seconds; a test as a whole has 120

# What is run, and the Debian package that brings it.
TOOLS = {
    "curl": {"bash": "bash", "curl": "curl", "jq": "jq"},
    "python": {},
    "node": {"node": "nodejs"},
    "java": {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless"},
    "php": {"php": "php-cli php-curl"},
}


class Server(Protocol):
    """Where a client program sends its requests, and with which key."""

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""

    @property
    def key(self) -> str:
        """A subscription key."""


@dataclass(frozen=True)
class Program:
    """One client program, ready to run."""

    name: str
    command: tuple[str, ...]

    def start(self, server: Server, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end; `key` in place of the server's, an empty one for none at all."""
        # An environment of its own: no proxy, no tool's settings, and a locale in which Java reads its
        # arguments as UTF-8.
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "GATEWAY_URL": server.url}
        if key != "":
            environment["GATEWAY_KEY"] = server.key if key is None else key
        return subprocess.run(
            [*self.command, *arguments], env=environment, capture_output=True, timeout=TIMEOUT, check=False
        )

    def ask(self, server: Server, *arguments: str, key: str | None = None) -> dict[str, Any]:
        """Run the program and give back the one document that it printed."""
        finished = self.start(server, *arguments, key=key)
        assert finished.returncode == 0, finished.stderr.decode(errors="replace")
        document = json.loads(finished.stdout.decode("utf-8"))
        assert isinstance(document, dict)
        return document


def missing(what: str, package: str) -> None:
    """Skip the test where a tool is missing; on CI, where all are installed, fail it."""
    message = f"{what} is missing: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def prepare(name: str, scratch: Path) -> Program:
    """Look for a program's tools, and compile what needs compiling into `scratch`."""
    for tool, package in TOOLS[name].items():
        if shutil.which(tool) is None:
            missing(tool, package)
    if name == "php":
        modules = subprocess.run(["php", "-m"], capture_output=True, timeout=TIMEOUT, check=True).stdout
        if b"curl" not in modules.split():
            missing("PHP's cURL extension", "php-curl")
    if name == "java":
        source = HERE / "java" / "GetData.java"
        compiler = ["javac", "--release", "11", "-Xlint:all,-options", "-Werror", "-d", str(scratch)]
        subprocess.run([*compiler, str(source)], timeout=TIMEOUT, check=True)
    command = {
        "curl": ("bash", str(HERE / "curl" / "get_data.sh")),
        "python": (sys.executable, "-W", "error", str(HERE / "python" / "get_data.py")),
        "node": ("node", str(HERE / "node" / "get_data.mjs")),
        "java": ("java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", str(scratch), "GetData"),
        "php": ("php", str(HERE / "php" / "get_data.php")),
    }
    return Program(name, command[name])
