"""The settings choose where calls are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.products import Rate
from gateway.rates import MemoryWindows
from gateway.rates.shared import SharedWindows
from gateway.rates.stored import StoredWindows
from gateway.settings import Settings, SettingsError
from gateway.store import open_store
from gateway.wiring import build_call_rates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("workers", "has_redis", "expected"),
    [
        (1, False, MemoryWindows),
        (2, False, StoredWindows),
        (1, True, SharedWindows),
        (2, True, SharedWindows),
    ],
)
def test_calls_are_counted_where_all_workers_see_them(
    workers: int, *, has_redis: bool, expected: type, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings.model_construct(workers=workers, redis_url=redis_url if has_redis else None)
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    rates = build_call_rates(settings, store)
    windows = rates._windows  # noqa: SLF001 - which one it is is what this is about
    assert type(windows) is expected
    assert rates.take("acme", Rate(2, 60)) == (2, 1, 60)
    if isinstance(windows, SharedWindows):
        windows.close()
    store.close()


def test_a_url_that_the_client_cannot_use_names_the_variable_and_not_the_value(tmp_path: Path) -> None:
    settings = Settings.model_construct(redis_url="rediss://user:secret@h?ssl_cert_reqs=perhaps")
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    with pytest.raises(SettingsError) as caught:
        build_call_rates(settings, store)
    store.close()
    (fault,) = caught.value.faults
    assert fault.startswith("GATEWAY_REDIS_URL: ")
    assert "secret" not in fault
