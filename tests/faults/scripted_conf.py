"""gunicorn's settings for the gateway over a scripted engine: the real worker class and log, and no vLLM."""

from __future__ import annotations

from typing import Any

from deploy.worker import GatewayWorker, drain_on_interrupt
from gateway.telemetry import configure_logging
from tests.faults.scripted_app import MAX_BODY_BYTES

GatewayWorker.read_timeout = 2.0
GatewayWorker.max_body_bytes = MAX_BODY_BYTES

bind = "127.0.0.1:0"
worker_class = "deploy.worker.GatewayWorker"
logger_class = "deploy.logger.GatewayLogger"
workers = 1
threads = 8
keepalive = 30
control_socket_disable = True
forwarder_headers = ""
when_ready = drain_on_interrupt


def on_starting(_server: Any) -> None:
    """As the gateway's own settings do it."""
    configure_logging()
