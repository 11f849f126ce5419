"""From settings to services: the one place that chooses which implementation stands behind which name."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.engines.vllm import VllmEngine
from gateway.keys import KeyHasher, load_pepper
from gateway.products import Products
from gateway.service import Gateway
from gateway.settings import ROOT
from gateway.store import Store, open_store
from gateway.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings import Settings

_PEPPER_FILE = ROOT / "var" / "pepper"


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Subscriptions and products over one database."""

    store: Store
    subscriptions: Subscriptions
    products: Products


def connect_key_store(settings: Settings) -> KeyStore:
    """The key store that the settings name, made or brought up to date.

    Raises:
        StoreError: the operator has to change something.
        UnavailableError: the database cannot be reached now.
    """
    store = open_store(settings.database_url)
    pepper = settings.key_pepper.encode() if settings.key_pepper else load_pepper(_PEPPER_FILE)
    return KeyStore(store, Subscriptions(store, KeyHasher(pepper)), Products(store))


@contextmanager
def open_key_store(settings: Settings) -> Iterator[KeyStore]:
    """The same for a moment, with its connections closed at the end."""
    key_store = connect_key_store(settings)
    try:
        yield key_store
    finally:
        key_store.store.close()


def build_gateway(settings: Settings) -> Gateway:
    """The product over vLLM. The engine is not started: that is for a worker to do."""
    folder = settings.runtime_dir or Path("/nonexistent")  # outside a worker nobody starts the engine
    return Gateway(VllmEngine(folder, settings.model_names), settings.request_timeout)
