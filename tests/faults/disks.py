"""A small disk that a test fills up."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Where mounting is forbidden: no file of the gateway may grow (RLIMIT_FSIZE). Writes fail with EFBIG."""

    pids: Callable[[], Iterable[int]]
    kind: str = "files that may not grow"

    def fill(self) -> None:
        """No byte more, in any file."""
        for pid in self.pids():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self) -> None:
        """As many as they like."""
        for pid in self.pids():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def small_disk(folder: Path, size: int, pids: Callable[[], Iterable[int]]) -> Iterator[Disk]:
    """A disk at a folder: a file system of its own where that may be mounted.

    Args:
        folder: empty.
        size: bytes.
        pids: of the processes that write there.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    may_mount = os.getuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    if not may_mount:
        yield LimitedFiles(pids)
        return
    try:
        yield SmallFilesystem(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
