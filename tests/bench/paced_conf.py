"""The gateway's own settings of gunicorn, without an engine host.

gunicorn -c tests/bench/paced_conf.py tests.bench.paced_app:app
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from deploy.worker import drain_on_interrupt
from gateway.settings import ROOT
from tests.bench.paced import READY


class _NoHost:
    """In the place of the engine host."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        """Nothing is to be started."""

    def stop(self) -> None:
        """Nothing was."""


_gateways: dict[str, Any] = runpy.run_path(str(ROOT / "deploy" / "gunicorn.conf.py"))
_gateways["on_starting"].__globals__["EngineHost"] = _NoHost
globals().update({name: value for name, value in _gateways.items() if not name.startswith("_")})

when_ready = drain_on_interrupt  # the gateway's waits for the host, to say hello


def post_worker_init(worker: Any) -> None:
    """As the gateway's; it tells, too."""
    _gateways["post_worker_init"](worker)
    sys.stderr.write(f"{READY}\n")
    sys.stderr.flush()
