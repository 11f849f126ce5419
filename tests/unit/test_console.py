"""What is shown of a start that fails."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

from deploy.console import Console
from gateway.engines.vllm.link import Progress
from gateway.settings import Settings
from tests.server import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_fault_that_ends_the_start_is_not_said_to_be_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Progress("failed", time.time(), refused="GATEWAY_MODEL: no such thing").write(tmp_path)
    with socket.socket() as listener:
        Console(Settings.model_construct()).start(listener, tmp_path)
        wait_for(lambda: all(thread.name != "console" for thread in threading.enumerate()), "its end", 5)
    assert capsys.readouterr().err == ""
