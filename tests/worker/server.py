"""A gunicorn under test, and the raw side of HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from app.contract import SAFE_HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 15.0  # seconds until a test that waits for something fails


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"in vain: {what}")


class Reply(NamedTuple):
    """One response, its body decoded."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool  # whether it ended as its headers promised

    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


class Client:
    """A socket that reads one response after another."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self._file = self.sock.makefile("rb")

    def send(self, data: bytes | str) -> None:
        """Send as it is."""
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reply(self, *, head: bool = False) -> Reply | None:
        """The next response; None at the end of the connection."""
        line = self._file.readline()
        if not line:
            return None
        headers = {}
        for raw in iter(self._file.readline, b"\r\n"):
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body, whole = (b"", True) if head else self._body(headers)
        return Reply(int(line.split()[1]), headers, body, whole)

    def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while piece := self.chunk():
                pieces.append(piece)
            return b"".join(pieces), piece is not None
        if "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
            return body, len(body) == int(headers["content-length"])
        return self._file.read(), True

    def chunk(self) -> bytes | None:
        """The next chunk, empty for the last one; None where the body breaks off."""
        line = self._file.readline()
        if not line:
            return None
        piece = self._file.read(int(line, 16))
        self._file.readline()
        return piece

    def ended(self) -> bool:
        """Whether the server has closed, in order or not."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server:
    """A running gunicorn with its output in a file."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self._log = folder / "output"
        here = Path(__file__).parent
        self.unix_socket = str(folder / "socket")
        settings["unix_socket"] = self.unix_socket
        environment = {**os.environ, "TEST_WORKER": json.dumps(settings), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "gunicorn", "-c", str(here / "helper_conf.py")]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "tests.worker.helper_app:application"],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=here.parents[1],
                start_new_session=True,  # a process group of its own, so that Ctrl-C can be played on it
            )
        found = wait_until(lambda: re.search(r"http://127.0.0.1:([1-9]\d*)", self.log()), "its port")
        self.address = ("127.0.0.1", int(found[1]))
        loading = "loading" in settings
        wait_until(lambda: "Booting worker" in self.log() if loading else self._up(), "its worker")

    def _up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(self.log())
        with contextlib.suppress(OSError), self.client() as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return client.reply() is not None
        return False

    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text("latin-1")

    def client(self) -> Client:
        """A new connection."""
        return Client(self.address)

    def ask(self, request: bytes | str) -> Reply:
        """The response to one request on a connection of its own."""
        with self.client() as client:
            client.send(request)
            reply = client.reply()
        assert reply is not None
        return reply

    def get(self, path: str) -> Reply:
        """The response to a plain GET."""
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    def state(self) -> dict[str, Any]:
        """What the application noted."""
        told: dict[str, Any] = self.get("/state").json()
        return told

    def group(self) -> list[int]:
        """The processes of its group that still live."""
        members = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    members.append(int(stat.parent.name))
        return members

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)
            raise


@contextlib.contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Server]:
    """A server that is gone afterwards."""
    server = Server(folder, **settings)
    try:
        yield server
    finally:
        server.stop()


def check_refusal(reply: Reply | None, status: int, *, openai: bool = False) -> Reply:
    """That a response is the contract's answer for a status, below `/v1` in both forms, and ends the connection."""
    assert reply is not None
    assert reply.status == status, reply
    told = reply.json()
    assert set(told) == {"code", "message", "traceId"} | ({"error"} if openai else set())
    assert told["code"] == status
    assert told["message"]
    assert re.fullmatch("[0-9a-f]{32}", told["traceId"])
    assert reply.headers["x-trace-id"] == told["traceId"]
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["connection"] == "close"
    assert "date" in reply.headers
    assert reply.headers["access-control-allow-origin"] == "*"
    assert {name.lower(): value for name, value in SAFE_HEADERS.items()}.items() <= reply.headers.items()
    return reply
