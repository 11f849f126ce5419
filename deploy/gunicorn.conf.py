"""gunicorn's settings: who starts whom, and in which order things end (docs/decisions/0001-process-model.md).

gunicorn -c deploy/gunicorn.conf.py wsgi:app
"""

from __future__ import annotations

import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn import systemd
from prometheus_client.multiprocess import mark_process_dead

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy.listening import address_faults
from deploy.worker import GatewayWorker, drain_on_interrupt
from deploy.worker.openings import Openings
from gateway.engines.vllm.supervisor import EngineHost, set_engine_environment
from gateway.processes import METRICS_FOLDER
from gateway.settings import SettingsError, load_address, load_settings
from gateway.startup import faults_end_the_process
from gateway.telemetry import configure_logging

if TYPE_CHECKING:
    from deploy.console import Console
    from gateway.settings import Settings


def _load_settings() -> Settings:
    """The settings. Where some are at fault, the address is tried as well, so that all faults are told at once."""
    try:
        return load_settings()
    except SettingsError as error:
        # A master that runs reads them again when it is told to, and has the address itself.
        address = None if "GATEWAY_RUNTIME_DIR" in os.environ else load_address()
        raise SettingsError([*error.faults, *(address_faults(address) if address else [])]) from None


with faults_end_the_process():
    settings = _load_settings()

bind = settings.address
workers = settings.workers
threads = settings.threads
worker_class = "deploy.worker.GatewayWorker"
worker_connections = settings.threads + 256  # each may hold a head and a body in memory
logger_class = "deploy.logger.GatewayLogger"
# The master kills whoever is left after this: a worker that has cut its calls off needs a moment to settle them.
graceful_timeout = math.ceil(settings.drain_timeout) + 5  # gunicorn takes whole seconds
timeout = 120  # seconds without a heartbeat of a worker's main thread, which never waits for a request
keepalive = 30
backlog = 2048
control_socket_disable = True
forwarder_headers = ""  # nobody's header may move the paths: with a SCRIPT_NAME, gunicorn's default lets it
proc_name = "get-data-gateway"

GatewayWorker.read_timeout = settings.read_timeout
GatewayWorker.drain_timeout = settings.drain_timeout
GatewayWorker.max_body_bytes = settings.max_body_bytes
GatewayWorker.by_turns = True
GatewayWorker.vital = ("/health/", "/metrics", "/management/")

# Each connection is an open file, and so is much else; on many systems a process may have 1024 unless it asks for more.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

_openings = Openings() if workers > 1 else None
_host: EngineHost | None = None
_console: Console | None = None
_exit_status = 0


def on_starting(server: Any) -> None:
    """In the master, before anything else: the private folder, the engine host, and the key store meanwhile."""
    global _host  # noqa: PLW0603 - gunicorn's hooks share a module, not an object
    _try_address(server)
    configure_logging()
    set_engine_environment(settings.engine_flags, small_model=settings.is_demo)
    folder = Path(tempfile.mkdtemp(prefix="gateway-"))
    os.environ["GATEWAY_RUNTIME_DIR"] = str(folder)
    (folder / METRICS_FOLDER).mkdir()

    def refused(faults: str) -> None:
        global _exit_status  # noqa: PLW0603
        _exit_status = os.EX_CONFIG
        sys.stderr.write(faults + "\n")
        os.kill(os.getpid(), signal.SIGTERM)

    _host = EngineHost(folder, settings.model, settings.engine_flags, refused)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # gunicorn has its own from here on, but not yet
    try:
        _host.start()
        _prepare_store()
    except BaseException:
        on_exit(server)  # gunicorn calls it only for a master that has started
        raise


def _try_address(server: Any) -> None:
    """End here where gunicorn would fail to bind, before anything is started."""
    inherits = server.master_pid or systemd.listen_fds(unset_environment=False)
    if inherits or server.cfg.reuse_port or server.cfg.bind != [settings.address]:  # by gunicorn's own command line
        return
    with faults_end_the_process():
        if faults := address_faults(settings):
            raise SettingsError(faults)


def _prepare_store() -> None:
    global _console  # noqa: PLW0603
    from deploy.console import Console  # noqa: PLC0415 - imports the store and its libraries, for half a second

    _console = Console(settings)
    with faults_end_the_process():
        _console.prepare_store()


def when_ready(server: Any) -> None:
    """In the master, once it listens."""
    drain_on_interrupt(server)
    if _console is not None:
        _console.start(server.LISTENERS[0].sock, Path(os.environ["GATEWAY_RUNTIME_DIR"]))


def pre_fork(server: Any, worker: Any) -> None:
    """In the master, before a worker is forked."""
    if _openings is not None:
        worker.openings, worker.place = _openings, _openings.take()


def post_worker_init(worker: Any) -> None:
    """In a worker, once it has loaded the app: only now is the engine attached, so that the port answers first."""
    gateway = worker.wsgi.extensions["gateway"].gateway
    worker.retry_after = gateway.retry_after
    worker.ready = lambda: bool(gateway.engine.models())
    gateway.start()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, after a worker has ended: what it had running is no more; what it counted stays."""
    if worker.openings is not None:
        worker.openings.leave(worker.place)
    mark_process_dead(worker.pid, Path(os.environ["GATEWAY_RUNTIME_DIR"]) / METRICS_FOLDER)


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker that ends."""
    if worker.booted:
        services = worker.wsgi.extensions["gateway"]
        services.gateway.stop()
        worker.wait_for_last_lines()
        if services.spans is not None:
            services.spans.stop()
        sys.stderr.flush()
        # Nothing is left to do, and the end of a Python process with torch in it takes seconds.
        os._exit(0)


def on_exit(server: Any) -> None:
    """In the master, after the workers have drained and ended."""
    if _host is not None:
        _host.stop()
    shutil.rmtree(os.environ["GATEWAY_RUNTIME_DIR"], ignore_errors=True)
    if _exit_status:
        sys.exit(_exit_status)
