"""The engine host: one small process that owns EngineCore, for as long as the gateway runs.

    python -m gateway.engines.vllm.host FOLDER MODEL [FLAG ...]

It imports vLLM once, forks EngineCore, hands out its sockets to the workers that connect (`link.py`), and forks a
new EngineCore when the old one dies; forking from here takes seconds where a fresh start takes a quarter of a
minute. It is single-threaded, because it forks. It ends with the process that started it, and EngineCore ends with it.

Exit status: 0 after SIGTERM, 78 (EX_CONFIG) when vLLM refuses the arguments: trying again would not help.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gateway.cores import leave_to_engine
from gateway.engines.vllm import collector
from gateway.engines.vllm.config_faults import config_faults
from gateway.engines.vllm.link import SOCKET_NAME, Attachment, Lost, Orphans, Progress
from gateway.engines.vllm.vacant import VacantSlots
from gateway.processes import die_with_parent
from gateway.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.config import VllmConfig
    from vllm.v1.engine.utils import CoreEngineProcManager

# One is used up by each worker that comes in an epoch: enough for many restarts of workers.
SLOTS = 64
RETRY_SECONDS = (0.0, 1.0, 5.0, 15.0, 60.0)
STABLE_SECONDS = 60.0
_IPC = "ipc://"

log = logging.getLogger("gateway.engine.host")


class Host:
    """Brings up one engine after the other, and tells the clients."""

    def __init__(self, folder: Path, model: str, flags: list[str]) -> None:
        self._folder = folder
        self._model = model
        self._flags = flags
        self._serving: dict[str, Any] = {}
        self._statistics = True
        self._clients: dict[Connection, int | None] = {}  # to the slot that each has in this epoch
        self._orphans: list[int] = []  # slots of this epoch whose client has died
        _remove_sockets(folder)  # of a host that was killed
        self._listener = Listener(str(folder / SOCKET_NAME), "AF_UNIX", backlog=SLOTS)

    def run(self) -> NoReturn:
        """Serve until SIGTERM."""
        progress = Progress("importing", time.time())
        progress.write(self._folder)
        with collector.importing():  # and the engines that are forked from here leave it alone as well
            config = self._configure(progress)
        # From now on there are engines to end, and files.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        epoch, failures = 0, 0
        while True:
            epoch += 1
            if epoch > 1:  # the first attempt began with the import
                progress.since, progress.attempt = time.time(), failures + 1
            progress.phase = "loading"
            progress.write(self._folder)
            up_since = time.monotonic()
            try:
                with _engine(config, self._serving, self._folder, epoch, statistics=self._statistics) as engine:
                    Progress("ready", progress.since, progress.attempt).write(self._folder)
                    up_since = time.monotonic()
                    self._serve(epoch, engine)
                    Progress("restarting", time.time()).write(self._folder)
            except Exception:
                # Whatever kept the engine from loading (memory, weights, a device) may pass: the clients keep
                # answering 503 and the next attempt waits longer.
                log.exception("the engine failed to load")
                Progress("failed", progress.since, progress.attempt).write(self._folder)
            failures = 0 if time.monotonic() - up_since > STABLE_SECONDS else failures + 1
            self._tell_all(Lost(epoch))
            self._idle(RETRY_SECONDS[min(failures - 1, len(RETRY_SECONDS) - 1)] if failures else 0.0)

    def _configure(self, progress: Progress) -> VllmConfig:
        from gateway.engines.vllm import arguments, core  # noqa: PLC0415 - takes seconds: progress is told first

        Progress("configuring", progress.since).write(self._folder)
        core.install(self._folder, progress)
        try:
            args, self._serving = arguments.parse(self._model, self._flags)
            self._statistics = not args.disable_log_stats
            args._api_process_count, args._api_process_rank = SLOTS, -1  # noqa: SLF001 - as vLLM's own server does
            config = args.create_engine_config()
        except arguments.EngineArgumentsError as error:
            self._refuse("GATEWAY_ENGINE_ARGS", error, progress)
        except (ValueError, OSError) as error:
            self._refuse("GATEWAY_MODEL or GATEWAY_ENGINE_ARGS", error, progress)
        # vLLM asks for `spawn`, which would import everything once more. Nothing here runs a thread of torch's
        # before the fork, which is what makes `fork` safe.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        return config

    def _refuse(self, variables: str, error: Exception, progress: Progress) -> NoReturn:
        faults = "\n".join(config_faults(variables, error))
        Progress("failed", progress.since, refused=faults).write(self._folder)
        raise SystemExit(os.EX_CONFIG) from error

    def _serve(self, epoch: int, engine: _Engine) -> None:
        """Until the engine dies: let clients in, give each a slot, notice the ones that leave."""
        leave_to_engine()
        free = deque(range(SLOTS))
        self._orphans.clear()
        for client in list(self._clients):
            self._attach(client, epoch, engine, free)
        for slot in free:
            engine.vacant.take(slot)
        while True:
            ready = wait([*engine.sentinels, *self._clients, self._listener_connection(), *engine.vacant.listeners])
            if any(sentinel in ready for sentinel in engine.sentinels):
                log.error("the engine died; a new one is started")
                return
            for connection in ready:
                if connection in self._clients:
                    self._drop(connection, epoch, engine)
                elif connection is not self._listener_connection():
                    engine.vacant.accept(connection)
                elif (newcomer := self._accept()) is not None and not self._attach(newcomer, epoch, engine, free):
                    return

    def _attach(self, client: Connection, epoch: int, engine: _Engine, free: deque[int]) -> bool:
        """Give a client a slot. False when there is none left: then only a new engine has new ones."""
        if not free:
            log.warning("all %d client sockets of the engine are used up: it is started anew", SLOTS)
            return False
        slot = free.popleft()
        self._clients[client] = slot
        engine.vacant.leave(slot)
        self._tell(client, engine.attachment(epoch, slot, tuple(self._orphans)))
        return True

    def _accept(self) -> Connection | None:
        try:
            client = self._listener.accept()
        except OSError as error:
            log.warning("a client could not connect: %s", error)
            return None
        self._clients[client] = None
        return client

    def _drop(self, client: Connection, epoch: int, engine: _Engine) -> None:
        slot = self._clients.pop(client)
        client.close()
        if slot is not None:
            self._orphans.append(slot)
            engine.vacant.take(slot)
            self._tell_all(Orphans(epoch, slot))

    def _tell_all(self, message: object) -> None:
        for client in list(self._clients):
            self._tell(client, message)

    def _tell(self, client: Connection, message: object) -> None:
        try:
            client.send(message)
        except OSError:
            self._clients.pop(client, None)  # it died; what it left is found when its connection ends

    def _idle(self, seconds: float) -> None:
        """Wait before the next attempt, still letting clients in and out."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for connection in wait([*self._clients, self._listener_connection()], left):
                if connection in self._clients:
                    self._clients.pop(connection).close()  # type: ignore[union-attr]
                else:
                    self._accept()

    def _listener_connection(self) -> Any:
        return self._listener._listener._socket  # type: ignore[attr-defined]  # noqa: SLF001 - `wait` takes what has a fileno


class _Engine:
    """The processes of one epoch and how to reach them."""

    def __init__(
        self,
        manager: CoreEngineProcManager,
        addresses: Any,
        config: VllmConfig,
        serving: dict[str, Any],
        *,
        statistics: bool,
    ) -> None:
        self.sentinels: list[int] = manager.sentinels()
        pairs = zip(addresses.inputs, addresses.outputs, strict=True)
        self.vacant = VacantSlots([[Path(address.removeprefix(_IPC)) for address in pair] for pair in pairs])
        self._addresses = addresses
        self._config = config
        self._serving = serving
        self._statistics = statistics
        self._created = int(time.time())

    def attachment(self, epoch: int, slot: int, orphans: tuple[int, ...]) -> Attachment:
        inputs, outputs = self._addresses.inputs, self._addresses.outputs
        return Attachment(
            epoch=epoch,
            slot=slot,
            slots=SLOTS,
            input_address=inputs[slot],
            output_address=outputs[slot],
            vllm_config=self._config,
            serving=self._serving,
            created=self._created,
            statistics=self._statistics,
            orphans=orphans,
        )


@contextlib.contextmanager
def _engine(
    config: VllmConfig, serving: dict[str, Any], folder: Path, epoch: int, *, statistics: bool
) -> Iterator[_Engine]:
    """EngineCore, forked from this process, up and initialized; killed at the end."""
    from copy import deepcopy  # noqa: PLC0415

    from vllm.v1.engine.utils import EngineZmqAddresses, launch_core_engines  # noqa: PLC0415
    from vllm.v1.executor import Executor  # noqa: PLC0415

    config = deepcopy(config)  # loading writes into it
    # Short names: a Unix socket's path has 107 characters at most.
    addresses = EngineZmqAddresses(
        inputs=[f"{_IPC}{folder}/i{os.getpid()}.{epoch}.{slot}" for slot in range(SLOTS)],
        outputs=[f"{_IPC}{folder}/o{os.getpid()}.{epoch}.{slot}" for slot in range(SLOTS)],
    )
    manager = None
    try:
        executor = Executor.get_class(config)
        with launch_core_engines(config, executor, log_stats=statistics, addresses=addresses) as launch:
            manager = launch.engine_manager
        engine = _Engine(manager, addresses, config, serving, statistics=statistics)
        with contextlib.closing(engine.vacant):
            yield engine
    finally:
        if manager is not None:
            # It holds nothing that is to be saved, and the end of a Python process with torch in it takes seconds.
            for process in manager.processes:
                process.kill()
            manager.shutdown(timeout=1.0)
        _remove_sockets(folder, but=SOCKET_NAME)


def _remove_sockets(folder: Path, but: str = "") -> None:
    for path in folder.glob("*"):
        if path.is_socket() and path.name != but:
            path.unlink(missing_ok=True)  # a worker that lets go of one removes it itself


def main(argv: list[str]) -> NoReturn:
    """Run the host; see the module's text."""
    die_with_parent()
    configure_logging()
    # The terminal's Ctrl-C is for the gateway: it drains first and then sends SIGTERM here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # an exception in the middle of an import is told at length
    folder, model, *flags = argv
    try:
        Host(Path(folder), model, flags).run()
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)  # likewise: see `_engine`


if __name__ == "__main__":
    main(sys.argv[1:])
