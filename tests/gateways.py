"""Gateways as tests put them together: a real ledger, and whatever engine."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.services import Services
from gateway.admissions import PATIENCE_SECONDS, Admissions
from gateway.engine import Terms
from gateway.exposition import Exposition
from gateway.keys import KeyHasher
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.products import Products
from gateway.rates import CallRates, MemoryWindows
from gateway.service import Gateway
from gateway.traces import Traces
from gateway.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.engine import Engine, Lease
    from gateway.spans import Spans
    from gateway.store import Store
    from gateway.subscriptions import Subscriptions

PEPPER = b"a pepper that only the tests know"


def utc_now() -> datetime:
    """The moment."""
    return datetime.now(UTC)


def make_gateway(  # noqa: PLR0913 - each has a default
    engine: Engine,
    store: Store,
    *,
    timeout: float = 600.0,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], datetime] = utc_now,
    patience: float = PATIENCE_SECONDS,
    waiting_room: int = 64,
) -> Gateway:
    """A gateway whose limits are real."""
    admissions = Admissions(
        Ledger(store, clock),
        CallRates(MemoryWindows()),
        patience=patience,
        waiting_room=waiting_room,
        monotonic=monotonic,
    )
    return Gateway(engine, admissions, KeyHasher(PEPPER), timeout, monotonic)


def make_services(
    gateway: Gateway,
    subscriptions: Subscriptions,
    store: Store,
    *,
    clock: Callable[[], datetime] = utc_now,
    spans: Spans | None = None,
) -> Services:
    """All that an app needs."""
    metrics = Metrics()
    return Services(
        gateway,
        subscriptions,
        Products(store),
        Usage(store),
        metrics,
        Exposition(metrics, gateway.engine),
        Traces(store, KeyHasher(PEPPER), clock),
        spans,
    )


def some_terms(lease: Lease | None = None) -> Terms:
    """Terms of a call that is in no ledger."""
    return Terms(secrets.token_hex(16), lease=lease)
