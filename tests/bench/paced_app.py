"""The gateway's own WSGI app with `PacedEngine` where vLLM would be, for gunicorn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

from tests.bench.paced import STEP_VARIABLE, PacedEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _paced(folder: Path, names: Sequence[str]) -> PacedEngine:
    del folder, names  # where vLLM's engine would be met, and what its model is called
    return PacedEngine(float(os.environ[STEP_VARIABLE]))


with mock.patch("gateway.wiring.VllmEngine", _paced):
    from wsgi import app

__all__ = ["app"]
