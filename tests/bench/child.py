"""Processes of the benchmark's own: one JSON object a line in, one out; they end with their standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Self

from gateway.processes import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

_STOP_SECONDS = 15.0


class Child:
    """A process that runs a module of this package, seen from its parent.

    Args:
        module: such as `tests.bench.client`.
        environment: all of its variables; None for those of this process.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open for as long as the process runs
        # A session of its own, so that the terminal's Ctrl-C is for the parent, which ends it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._errors.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send something and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.receive()

    def receive(self) -> dict[str, Any]:
        """Wait for what it says by itself."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"{self.process.args!r} ended:\n{self._errors.read()[-4000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


class Channel:
    """The other end, in the child. Whatever else the child prints goes to its standard error."""

    def __init__(self) -> None:
        die_with_parent()
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, message: dict[str, Any]) -> None:
        """Say something."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    @staticmethod
    def receive() -> dict[str, Any] | None:
        """Wait for what the parent asks; None when it wants nothing more."""
        line = sys.stdin.readline()
        found: dict[str, Any] | None = json.loads(line) if line else None
        return found
