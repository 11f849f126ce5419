"""How a process of the gateway starts, or says why it does not."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import UnavailableError
from gateway.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def faults_end_the_process() -> Iterator[None]:
    """Around what starts a process: faults that are the operator's to mend are told in a line each, without a stack."""
    try:
        yield
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(os.EX_CONFIG)
    except UnavailableError as error:
        detail = " ".join((error.detail or "").split())  # a driver's may be several lines
        sys.stderr.write(f"GATEWAY_DATABASE_URL: {error.message} ({detail})\n")
        sys.exit(os.EX_UNAVAILABLE)
