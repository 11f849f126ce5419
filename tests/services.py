"""Real PostgreSQL, Redis and Prometheus as tests start them: on loopback, in folders of their own, gone when tests are.

All come from the system's packages. Where one is missing the tests that need it fail and say what to install.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

START_SECONDS = 60.0
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
"""Debian keeps its programs here, out of the path, so that several versions can be there."""

_ACCOUNT = "postgres"
"""PostgreSQL does not run as root; Debian's package makes this account for it."""


class ServiceError(Exception):
    """A server is not installed, or does not start."""


@contextmanager
def running_postgresql() -> Iterator[str]:
    """A PostgreSQL with one database, `gateway`; yields its SQLAlchemy URL. Not for data that matters: fsync is off."""
    postgres = _program("postgres", "postgresql-15")
    with _folder("postgresql-", _ACCOUNT if os.getuid() == 0 else None) as folder:
        data = folder / "data"
        _run(
            folder,
            [*_as_account(), str(postgres.with_name("initdb")), "--pgdata", str(data), "--username", "gateway"],
            ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
        )
        # A socket in a folder that nobody else may enter, instead of a port that somebody else could take.
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "max_connections": "300",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [*_as_account(), str(postgres), "-D", str(data), *settings]
        # SIGINT is its fast shutdown: it does not wait for connections that a test left open.
        with _running(command, folder, end=signal.SIGINT) as process:
            where = f"host={folder} user=gateway"

            def answers() -> bool:
                with suppress(psycopg.OperationalError):
                    psycopg.connect(f"{where} dbname=postgres", connect_timeout=2).close()
                    return True
                return False

            _await(answers, process, folder)
            with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE gateway")
            yield f"postgresql+psycopg://gateway@/gateway?host={folder}"


def empty_postgresql(url: str) -> None:
    """Take everything out of a database of `running_postgresql`, also the connections that a test left open."""
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


@dataclass
class RedisServer:
    """A Redis on a port of its own, which keeps nothing on disk and can be killed and started again."""

    folder: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers; the first time on a free port, later on the same one."""
        program = _program("redis-server", "redis-server")
        port = self.port or _free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", "."]
        self._process = _start([*_DIES_WITH_US, str(program), *options], self.folder)
        self.port = port
        with redis.Redis(port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:

            def answers() -> bool:
                with suppress(redis.RedisError):
                    return bool(client.ping())
                return False

            _await(answers, self._process, self.folder)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT hang it and let it go on. Returns at once."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """An empty Redis."""
    with _folder("redis-", None) as folder:
        server = RedisServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def running_prometheus(config: Mapping[str, object]) -> Iterator[str]:
    """A Prometheus with this configuration, as in its YAML file; yields its URL."""
    program = _program("prometheus", "prometheus")
    with _folder("prometheus-", None) as folder:
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(config))
        address = f"127.0.0.1:{_free_port()}"
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
        with _running([*_DIES_WITH_US, str(program), *options], folder, end=signal.SIGTERM) as process:

            def ready() -> bool:
                with suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=2):
                    return True
                return False

            _await(ready, process, folder)
            yield f"http://{address}"


_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def _as_account() -> list[str]:
    if os.getuid() != 0:
        return _DIES_WITH_US
    return ["setpriv", "--reuid", _ACCOUNT, "--regid", _ACCOUNT, "--init-groups", "--pdeathsig", "INT"]


def _program(name: str, package: str) -> Path:
    debian = sorted(DEBIAN_POSTGRESQL.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = shutil.which(name) or (debian[-1] if debian else None)
    if found is None:
        raise ServiceError(f"{name} is not installed. Install it with: apt-get install {package}")
    return Path(found)


@contextmanager
def _folder(prefix: str, owner: str | None) -> Iterator[Path]:
    # Not one of pytest's: those are below a folder that only the user who runs the tests may enter.
    folder = Path(tempfile.mkdtemp(prefix=f"gateway-{prefix}"))
    try:
        if owner is not None:
            shutil.chown(folder, owner, owner)
        yield folder
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _log(folder: Path) -> Path:
    return folder / "log"


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for pytest, which then ends the servers in order.
    with _log(folder).open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _run(folder: Path, *command: list[str]) -> None:
    process = _start([part for parts in command for part in parts], folder)
    if process.wait(START_SECONDS) != 0:
        raise ServiceError(_log(folder).read_text())


@contextmanager
def _running(command: list[str], folder: Path, *, end: signal.Signals) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(command, folder)
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _await(condition: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceError(f"The server does not start:\n{_log(folder).read_text()}")
        time.sleep(0.01)
