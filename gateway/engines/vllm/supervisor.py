"""Starts the engine host and starts it again when it dies. Runs in gunicorn's master; does not import vLLM."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from gateway import cores
from gateway.engines.vllm.link import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_STOP_SECONDS = 10.0
_FEW_CORES = 4
_RESTART_SECONDS = 1.0
_LONGEST_SOCKET_PATH = 107  # unix(7)
_VLLM_SOCKET_NAME_LENGTH = len("/00000000-0000-0000-0000-000000000000")

# A process that is forked while `Popen` waits for its child's exec holds the pipe that `Popen` waits on, which then
# waits for ever. gunicorn forks workers whenever it likes: so a fork waits here.
_starting = threading.Lock()
os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release)

# What vLLM reads from the environment and no flag sets; the operator's own value wins.
_ENVIRONMENT = {
    # On a CPU this keeps the model in EngineCore itself: one process fewer, and both cores for it.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CONFIGURE_LOGGING": "0",  # its records go through the gateway's own logging
    "VLLM_NO_USAGE_STATS": "1",  # nothing about a gateway's use is for others to know
    "TOKENIZERS_PARALLELISM": "false",
}


def set_engine_environment(flags: Sequence[str], *, small_model: bool = False) -> None:
    """Give vLLM its settings, in this process and in those that it starts.

    Args:
        flags: the engine's.
        small_model: whether a step of the model takes only milliseconds on one core.
    """
    threads = compute_threads(len(os.sched_getaffinity(0)), small_model=small_model)
    for name, value in {**_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}.items():
        os.environ.setdefault(name, value)
    if os.environ["OMP_NUM_THREADS"] == "1":
        cores.reserve()
    if "--enforce-eager" in flags:
        # Without it vLLM still compiles a few small functions when they are first used, as by the first request for
        # logprobs: half a minute in which the engine answers nobody.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def compute_threads(available: int, *, small_model: bool) -> int:
    """How many threads compute the model on a CPU.

    They wait for one another many times in each step, so whatever else needs a core for a moment stops them all: one
    core is left to HTTP and to what makes text of ids. A large model on few cores needs all of them more than that.
    """
    return available if available < _FEW_CORES and not small_model else max(1, available - 1)


def host_environment(folder: Path) -> dict[str, str]:
    """What the engine host is given: not the gateway's keys, tokens and addresses, which no engine has a use for.

    Nor OpenTelemetry's variables: with them vLLM would export spans of its own, of other traces. VLLM leaves a socket
    behind for each engine that it has started, so these are in the gateway's private folder, which goes at its end.
    """
    given = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}
    if len(os.fsencode(folder)) + _VLLM_SOCKET_NAME_LENGTH <= _LONGEST_SOCKET_PATH:
        given.setdefault("VLLM_RPC_BASE_PATH", str(folder))
    return given


class EngineHost:
    """The engine host as a child of this process.

    Args:
        folder: a private folder where host and workers meet.
        model: a folder or a Hugging Face id.
        flags: engine flags of `vllm serve`.
        refused: called when vLLM refuses model or flags, so that a restart would not help; with a line for each fault.
    """

    def __init__(self, folder: Path, model: str, flags: Sequence[str], refused: Callable[[str], None]) -> None:
        self._folder = folder
        self._command = [sys.executable, "-m", f"{__package__}.host", str(folder), model, *flags]
        self._refused = refused
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        # The kernel ends the host with the thread that started it (`die_with_parent`), so this one lives on.
        self._thread = threading.Thread(target=self._keep_running, name="engine-host", daemon=True)

    def start(self) -> None:
        """Start the host, and keep one running until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the host, and the engine with it."""
        self._stopping.set()
        with _starting:  # none is started from here on
            process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():
                process.kill()
                self._thread.join(_STOP_SECONDS)

    def _keep_running(self) -> None:
        log = logging.getLogger("gateway.engine")
        while not self._stopping.is_set():
            # A session of its own: the terminal's Ctrl-C is for the gateway, which drains before the engine goes.
            with _starting:
                if self._stopping.is_set():
                    return
                self._process = subprocess.Popen(  # noqa: S603
                    self._command, stdin=subprocess.DEVNULL, start_new_session=True, env=host_environment(self._folder)
                )
            self._process.wait()
            refused = Progress.read(self._folder).refused
            if refused is not None:
                self._refused(refused)
                return
            if self._stopping.is_set():
                return
            with contextlib.suppress(OSError):  # a full disk: what it said last is true no more, and stays
                Progress("restarting", time.time()).write(self._folder)
            if not self._stopping.wait(_RESTART_SECONDS):
                log.error("the engine host died; another one is started")
