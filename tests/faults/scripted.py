"""A gunicorn with the gateway over a scripted engine: the real worker, app, store and log, up in a second."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.settings import ROOT
from tests.server import STOP_SECONDS, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Scripted:
    """A running one.

    Attributes:
        key: primary key of the subscription `dev`.
        token: the admin token.
        output: the file with all that it writes.
    """

    process: subprocess.Popen[bytes]
    key: str
    token: str
    folder: Path
    output: Path
    port: int

    def log(self) -> str:
        """All that it has written so far."""
        return self.output.read_text(errors="replace")


@contextmanager
def scripted(folder: Path) -> Iterator[Scripted]:
    """Start one; it is gone afterwards."""
    key, token, output = secrets.token_hex(16), secrets.token_urlsafe(32), folder / "output"
    given = {"FOLDER": str(folder), "KEY": key, "TOKEN": token}
    environment = os.environ | {f"TEST_SCRIPTED_{name}": value for name, value in given.items()}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "tests/faults/scripted_conf.py",
        "tests.faults.scripted_app:make()",
    ]
    with output.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(lambda: _port(output) != 0, "the port of the scripted gateway")
        yield Scripted(process, key, token, folder, output, _port(output))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _port(output: Path) -> int:
    found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", output.read_text(errors="replace"))
    return int(found[1]) if found else 0
