"""Installs the npm package that the Node programs for OpenAI's API use."""

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


def install() -> Path:
    """Install what the lock names, once for each state of it; give back the folder of the programs."""
    for tool, package in {"node": "nodejs", "npm": "npm"}.items():
        if shutil.which(tool) is None:
            missing(tool, package)
    lock = FOLDER / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another run of the tests may be at it
        mark = FOLDER / "node_modules" / ".installed"
        if not mark.exists() or mark.read_text() != wanted:
            subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=FOLDER, timeout=2 * TIMEOUT, check=True)
            mark.write_text(wanted)
    return FOLDER
