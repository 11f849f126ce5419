"""What the views and commands work with, put together once in `wsgi.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from gateway.exposition import Exposition
    from gateway.metrics import Metrics
    from gateway.products import Products
    from gateway.service import Gateway
    from gateway.spans import Spans
    from gateway.subscriptions import Subscriptions
    from gateway.traces import Traces
    from gateway.usage import Usage

EXTENSION = "gateway"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the product that HTTP and the shell give access to.

    Attributes:
        spans: where traces are exported to; None where they are off.
    """

    gateway: Gateway
    subscriptions: Subscriptions
    products: Products
    usage: Usage
    metrics: Metrics
    exposition: Exposition
    traces: Traces
    spans: Spans | None = None


def services() -> Services:
    """The services of the running app. Looked up in a view or command only, and passed on from there."""
    return cast("Services", current_app.extensions[EXTENSION])
