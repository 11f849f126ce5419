"""The servers that tests start: what is said where one is missing, and that nothing is left of them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
from tests import services
from tests.services import ServiceError, running_postgresql, running_redis

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("running", "package"), [(running_postgresql, "postgresql-15"), (running_redis, "redis-server")]
)
def test_a_server_that_is_not_installed_is_a_failure_that_says_what_to_install(
    running: object, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(services, "DEBIAN_POSTGRESQL", tmp_path)
    with pytest.raises(ServiceError, match=f"apt-get install {package}$"), running():  # type: ignore[operator]
        pass


def test_nothing_is_missing_where_all_are_installed() -> None:
    done = subprocess.run([ROOT / "deploy/test-services.sh", "--missing"], capture_output=True, check=True)
    assert done.stdout.split() == []


def test_a_redis_that_was_killed_starts_again_empty_on_the_same_port_and_leaves_nothing() -> None:
    with running_redis() as server:
        before = server.url
        server.kill()
        server.start()
        assert server.url == before
    assert not server.folder.exists()
