"""What the engine host and its clients say to each other, over a Unix socket in a private folder.

A client connects and listens; it never sends. The host sends one `Attachment` for each engine that it brings up
(an *epoch*) and one `Lost` when that engine is gone. The end of the connection means that the host is gone, or,
to the host, that the client is. Progress of loading goes through a small file instead, because the host waits
inside vLLM while the engine loads and answers nobody meanwhile.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from gateway.engine import EngineStatus, Phase

if TYPE_CHECKING:
    from pathlib import Path

SOCKET_NAME = "host.sock"
_PROGRESS_NAME = "progress.json"
# The phases in which an engine is on its way, in their order.
LOADING_PHASES: tuple[Phase, ...] = (
    "starting",
    "importing",
    "configuring",
    "loading",
    "allocating",
    "attaching",
)


@dataclass(frozen=True)
class Attachment:
    """Everything that a client needs to use the engine of one epoch.

    Attributes:
        epoch: counts the engines that this host has brought up; the first is 1.
        slot: this client's place among the engine's client sockets. A slot serves one client in an epoch.
        slots: how many slots there are.
        vllm_config: vLLM's own configuration object.
        serving: those flags of `vllm serve` that are not its engine's, see `arguments.SERVING`.
        created: Unix time at which the engine was up.
        statistics: whether the engine tells of its steps, as vLLM does unless told `--disable-log-stats`.
        orphans: slots whose client has died; whoever attaches aborts what they left running.
    """

    epoch: int
    slot: int
    slots: int
    input_address: str
    output_address: str
    vllm_config: Any
    serving: dict[str, Any]
    created: int
    statistics: bool
    orphans: tuple[int, ...] = ()


@dataclass(frozen=True)
class Orphans:
    """A client has died: whoever reads this may abort what its slot left running in the engine."""

    epoch: int
    slot: int


@dataclass(frozen=True)
class Lost:
    """The engine of this epoch is gone, and with it every request in it."""

    epoch: int


@dataclass
class Progress:
    """How far the host is with an engine.

    The host keeps one, brings it up to date for each attempt, and EngineCore, forked after that, goes on with it.

    Attributes:
        since: Unix time at which this attempt began.
        attempt: counts the attempts to load since the last success.
        refused: why trying again would not help, in a line for each fault; the host has ended.
    """

    phase: Phase
    since: float
    attempt: int = 1
    refused: str | None = None

    def write(self, folder: Path) -> None:
        """Publish it; a reader sees the old or the new one, never half of one."""
        draft = folder / f".{_PROGRESS_NAME}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(folder / _PROGRESS_NAME)

    @staticmethod
    def read(folder: Path) -> Progress:
        """The last one published; `starting` where there is none yet."""
        try:
            found = json.loads((folder / _PROGRESS_NAME).read_text())
        except FileNotFoundError:
            return Progress("starting", time.time())
        phase: Phase = next(phase for phase in get_args(Phase) if phase == found["phase"])
        return Progress(phase, float(found["since"]), int(found["attempt"]), found["refused"])

    def status(self) -> EngineStatus:
        """The same in the words of the engine port."""
        done = (*LOADING_PHASES, "ready")
        step = done.index(self.phase) if self.phase in done else 0
        return EngineStatus(
            phase=self.phase, step=step, steps=len(LOADING_PHASES), elapsed=max(0.0, time.time() - self.since)
        )
