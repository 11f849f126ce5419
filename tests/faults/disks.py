"""A disk that a test fills up."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MIB = 1 << 20
_BLOCK = 4096


class Disk(Protocol):
    """Where the database and the log are.

    Attributes:
        kind: in a few words.
    """

    kind: str

    def fill(self) -> None:
        """From now on nothing more can be written."""
        ...

    def free(self) -> None:
        """From now on it can."""
        ...


@dataclass
class SmallFilesystem:
    """A file system in memory with a size of its own, which needs the right to mount: writes fail with ENOSPC."""

    folder: Path
    kind: str = "a full file system"

    def fill(self) -> None:
        """Take all the room that is left."""
        try:
            with (self.folder / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(_BLOCK))
        except OSError:
            assert shutil.disk_usage(self.folder).free < _BLOCK

    def free(self) -> None:
        """Give it back."""
        (self.folder / "filler").unlink()


@dataclass
class LimitedFiles:
    """No process of the gateway may write into a file (RLIMIT_FSIZE): EFBIG. It takes no special right."""

    pids: Callable[[], Iterable[int]]
    kind: str = "files that may not be written"
    _before: dict[int, tuple[int, int]] = field(default_factory=dict)

    def fill(self) -> None:
        """Not a byte, in any file; pipes and sockets are none."""
        for pid in self.pids():
            self._before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, self._before[pid][1]))

    def free(self) -> None:
        """As before."""
        for pid, limits in self._before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def small_disks(folder: Path, size: int, pids: Callable[[], Iterable[int]]) -> Iterator[list[Disk]]:
    """Ways in which a disk is full: as a file system of its own at a folder, where one may be mounted, and by a limit.

    Args:
        folder: empty.
        size: bytes.
        pids: of the processes that write there.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    may_mount = os.getuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    limited = LimitedFiles(pids)
    if not may_mount:
        yield [limited]
        return
    try:
        yield [SmallFilesystem(folder), limited]
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
