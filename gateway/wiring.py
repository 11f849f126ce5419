"""From settings to services: the one place that chooses which implementation stands behind which name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.admissions import Admissions
from gateway.engines.vllm import VllmEngine
from gateway.keys import KeyHasher, load_pepper
from gateway.ledger import Ledger
from gateway.products import Products
from gateway.rates import CallRates, MemoryWindows
from gateway.rates.shared import RedisWindows, SharedWindows
from gateway.rates.stored import StoredWindows
from gateway.service import Gateway
from gateway.settings import ROOT, SettingsError
from gateway.store import Store, StoreError, connect_store, open_store
from gateway.subscriptions import Subscriptions
from gateway.traces import Traces
from gateway.usage import Usage

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.spans import Spans

_PEPPER_FILE = ROOT / "var" / "pepper"


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Subscriptions and products over one database."""

    store: Store
    hasher: KeyHasher
    subscriptions: Subscriptions
    products: Products
    usage: Usage
    traces: Traces


def build_key_store(settings: Settings) -> KeyStore:
    """The key store that the settings name.

    A worker takes it as its master has left it, so that a database that is down does not keep it from starting;
    every other process makes it or brings it up to date.

    Raises:
        SettingsError: the database's URL or the pepper is at fault.
        UnavailableError: the database cannot be reached now.
    """
    in_worker = settings.runtime_dir is not None
    try:
        store = connect_store(settings.database_url) if in_worker else open_store(settings.database_url)
    except StoreError as error:
        raise SettingsError([f"GATEWAY_DATABASE_URL: {error}"]) from error
    try:
        pepper = settings.key_pepper.encode() if settings.key_pepper else load_pepper(_PEPPER_FILE)
    except (ValueError, OSError) as error:
        raise SettingsError([f"GATEWAY_KEY_PEPPER is not set, and its file does not do: {error}"]) from error
    hasher = KeyHasher(pepper)
    return KeyStore(store, hasher, Subscriptions(store, hasher), Products(store), Usage(store), Traces(store, hasher))


def build_call_rates(settings: Settings, store: Store) -> CallRates:
    """Where calls are counted: in Redis if there is one, in the store for several workers, else in this process.

    Connects to nobody: a Redis that is down does not keep a worker from starting.

    Raises:
        SettingsError: Redis's URL is at fault.
    """
    if settings.redis_url:
        try:
            return CallRates(SharedWindows(RedisWindows(settings.redis_url)))
        except ValueError as error:
            raise SettingsError([f"GATEWAY_REDIS_URL: {error}"]) from error
    return CallRates(StoredWindows(store) if settings.workers > 1 else MemoryWindows())


def build_spans(settings: Settings) -> Spans | None:
    """Where traces are exported to; None where they are off, or outside a worker, where nothing is served."""
    if settings.trace_exporter is None or settings.runtime_dir is None:
        return None
    from gateway.spans import make_spans  # noqa: PLC0415 - imports OpenTelemetry: only where it is on

    return make_spans(settings.trace_exporter)


def build_gateway(settings: Settings, key_store: KeyStore) -> Gateway:
    """The product over vLLM. Nothing is started: that is for a worker to do."""
    folder = settings.runtime_dir or Path("/nonexistent")  # outside a worker nobody starts the engine
    admissions = Admissions(
        Ledger(key_store.store),
        build_call_rates(settings, key_store.store),
        patience=settings.request_timeout,
        waiting_room=max(1, settings.threads // 4),
    )
    engine = VllmEngine(folder, settings.model_names)
    return Gateway(
        engine,
        admissions,
        key_store.hasher,
        settings.request_timeout,
        longest_queue=settings.queue_timeout,
    )
