"""Installs npm packages that tests use, from a lock."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.clients.programs import HERE, TIMEOUT, missing

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = HERE / "openai"
"""Has the Node programs for OpenAI's API, and the package that they use."""


def install(folder: Path = FOLDER) -> Path:
    """Install what a folder's lock names, once for each state of it; give back the folder."""
    for tool, package in {"node": "nodejs", "npm": "npm"}.items():
        if shutil.which(tool) is None:
            missing(tool, package)
    lock = folder / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another run of the tests may be at it
        mark = folder / "node_modules" / ".installed"
        if not mark.exists() or mark.read_text() != wanted:
            subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, timeout=2 * TIMEOUT, check=True)
            mark.write_text(wanted)
    return folder
