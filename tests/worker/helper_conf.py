"""gunicorn's settings for the test servers: short deadlines, and mostly one worker, whose state can be asked."""

import json
import os
import time
from typing import Any

from deploy.worker import GatewayWorker, drain_on_interrupt
from deploy.worker.openings import Openings

_given = json.loads(os.environ["TEST_WORKER"])

GatewayWorker.read_timeout = _given.get("read_timeout", 0.6)
GatewayWorker.write_timeout = _given.get("write_timeout", 0.6)
GatewayWorker.max_body_bytes = _given.get("max_body_bytes", 4096)
GatewayWorker.vital = tuple(_given.get("vital", ("/state",)))
GatewayWorker.by_turns = _given.get("by_turns", False)
GatewayWorker.connections_beyond = _given.get("connections_beyond", 1024)

bind = ["127.0.0.1:0", f"unix:{_given['unix_socket']}"]
worker_class = "deploy.worker.GatewayWorker"
workers = _given.get("workers", 1)
threads = _given.get("threads", 4)
worker_connections = _given.get("worker_connections", 1000)
keepalive = _given.get("keepalive", 30)
graceful_timeout = _given.get("graceful_timeout", 8)
max_requests = _given.get("max_requests", 0)
limit_request_line = 1000
limit_request_fields = 20
limit_request_field_size = 1000
control_socket_disable = True
loglevel = "debug"
when_ready = drain_on_interrupt
_openings = Openings()


def pre_fork(_server: Any, worker: Any) -> None:
    """As the gateway's own settings do it."""
    worker.openings, worker.place = _openings, _openings.take()


def child_exit(_server: Any, worker: Any) -> None:
    """The same."""
    worker.openings.leave(worker.place)


def worker_exit(_server: Any, _worker: Any) -> None:
    """The same: nobody waits for threads."""
    os._exit(0)


def post_worker_init(worker: Any) -> None:
    """Play a worker that takes long to load what it serves, and that knows when to come back."""
    worker.retry_after = lambda: 6.2
    print(f"place {worker.place} has {worker.pid}")  # noqa: T201 - into the log that tests read
    worker.ready = lambda: worker.place in _given.get("ready", range(9))
    time.sleep(_given.get("loading", 0))
