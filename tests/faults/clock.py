"""The time of day as a gateway sees it: a small library moves it, under all of its processes, while they run.

libfaketime would do for simpler programs; with its monotonic clock left alone, version 0.9.10 fails Python's `sleep`.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class MovableClock:
    """A clock that is right until it is moved.

    Args:
        folder: for the library, which is compiled here, and for the file that says how far the clock is off.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "clock.so"
        self._file = folder / "moved"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", self._library, _SOURCE], check=True)
        self.move(0)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes have to be started with."""
        return {"LD_PRELOAD": str(self._library), "TEST_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """So far off the right time; at once, in every process."""
        # In place: they have the file mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))
