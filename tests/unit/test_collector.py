"""What is imported is looked through by nobody, and the collector is on again whatever becomes of the import."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from gateway.engines.vllm import collector

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_imported_is_left_alone_from_then_on() -> None:
    before = gc.get_freeze_count()
    with collector.importing():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)
    assert not any(one is made[0] for one in gc.get_objects())  # those that it would look through


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), collector.importing():
        raise ImportError
    assert gc.isenabled()


def test_garbage_that_has_come_since_is_not_kept_for_ever() -> None:
    class Loop:
        """Holds itself."""

        def __init__(self) -> None:
            self.itself = self

    found = weakref.ref(Loop())
    collector.leave_to_the_end()
    assert found() is None
