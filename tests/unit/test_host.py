"""The engine host, without an engine: what it tells of its attempts, and its folder."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from gateway.engines.vllm import collector, host
from gateway.engines.vllm.link import SOCKET_NAME, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Over(BaseException):
    """The end of a host that would go on for ever."""


class Attempts(host.Host):
    """A host whose engines take ten seconds to load and live for a thousand; the third is the last."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "", [])
        self.now = 100.0
        self.told: list[tuple[float, int]] = []

    def _configure(self, progress: Progress) -> None:
        self.now += 5  # to import
        self.progress = progress

    @contextmanager
    def engine(self, *_: object, **__: object) -> Iterator[None]:
        """EngineCore, which is forked here, tells how far it is."""
        self.now += 10
        self.told.append((self.now - self.progress.since, self.progress.attempt))
        yield

    def _serve(self, epoch: int, engine: object) -> None:
        del engine
        if epoch == 3:
            raise Over
        self.now += 1000 if epoch == 1 else 20


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempts]:
    made = Attempts(tmp_path)
    monkeypatch.setattr(host, "_engine", made.engine)
    monkeypatch.setattr(host, "time", SimpleNamespace(time=lambda: made.now, monotonic=lambda: made.now))
    monkeypatch.setattr(collector, "importing", nullcontext)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield made
    made._listener.close()  # noqa: SLF001 - a host ends with its process


def test_an_engine_counts_from_the_beginning_of_its_own_attempt(attempts: Attempts, tmp_path: Path) -> None:
    with pytest.raises(Over):
        attempts.run()
    assert attempts.told == [(15, 1), (10, 1), (10, 2)]  # the import is a part of the first
    assert Progress.read(tmp_path).phase == "ready"


def test_a_host_removes_the_sockets_of_one_that_was_killed_and_nothing_else(tmp_path: Path) -> None:
    for name in (SOCKET_NAME, "i1.1.0", "0d0c8b3c-8f3e-4a1e-9d5c-6f0f5d2f6a11"):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / name))
    (tmp_path / "progress.json").write_text("{}")
    (tmp_path / "metrics").mkdir()
    made = host.Host(tmp_path, "", [])
    assert {path.name for path in tmp_path.iterdir()} == {SOCKET_NAME, "metrics", "progress.json"}
    made._listener.close()  # noqa: SLF001
