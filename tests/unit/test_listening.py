"""Whether the server can listen is tried before anything is started, and nothing is left of that."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from deploy import listening
from deploy.listening import address_faults
from gateway.settings import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


@pytest.fixture
def at_a_pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has something happen where one would wait before trying again."""

    def at_a_pause(happens: Callable[[], None]) -> None:
        monkeypatch.setattr("deploy.listening.time.sleep", lambda _: happens())

    return at_a_pause


def bind(address: str) -> Address:
    return Address.model_construct(port=8000, bind=address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", "[::1]:0", "[::]:0"])
def test_an_address_that_can_be_bound_has_no_fault(address: str) -> None:
    assert address_faults(bind(address)) == []


def test_a_port_is_free_again_after_it_was_tried(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    taken.close()
    for _ in range(2):
        assert address_faults(Address.model_construct(port=port, bind=None)) == []


def test_a_port_in_use_names_its_variable_and_what_to_do(taken: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_PATIENCE", 0)
    port = taken.getsockname()[1]
    advice = f"127.0.0.1:{port} is in use: stop the program that listens there, or choose another port"
    assert address_faults(Address.model_construct(port=port, bind=None)) == [f"PORT: {advice}"]
    assert address_faults(bind(f"127.0.0.1:{port}")) == [f"GATEWAY_BIND: {advice}"]


def test_a_port_that_is_just_let_go_is_waited_for(
    taken: socket.socket, at_a_pause: Callable[[Callable[[], None]], None]
) -> None:
    port = taken.getsockname()[1]
    at_a_pause(taken.close)
    assert address_faults(bind(f"127.0.0.1:{port}")) == []


def test_an_address_that_the_machine_does_not_have_is_told_at_once(
    at_a_pause: Callable[[Callable[[], None]], None],
) -> None:
    at_a_pause(lambda: pytest.fail("it waited"))
    (fault,) = address_faults(bind("192.0.2.1:8000"))
    assert fault.startswith("GATEWAY_BIND: 192.0.2.1:8000 is on no address of this machine: ")


def test_a_name_that_nobody_knows_is_told() -> None:
    (fault,) = address_faults(bind("gateway.invalid:8000"))
    assert fault.startswith("GATEWAY_BIND: gateway.invalid:8000 cannot be listened on (")
    assert "\n" not in fault


def test_a_socket_file_that_can_be_made_is_not_left(tmp_path: Path) -> None:
    assert address_faults(bind(f"unix:{tmp_path}/g.sock")) == []
    assert not list(tmp_path.iterdir())


def test_a_socket_file_of_another_gateway_stays(tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        assert address_faults(bind(f"unix:{path}")) == []
    assert path.is_socket()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/g.sock", "is in a folder that does not exist"),
        ("file/g.sock", "is in something that is no folder"),
        ("file", "is a file already, and no socket"),
        ("folder", "is a folder"),
    ],
)
def test_a_socket_file_that_cannot_be_made_is_told(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (fault,) = address_faults(bind(f"unix:{tmp_path}/{name}"))
    assert fault.startswith(f"GATEWAY_BIND: unix:{tmp_path}/{name} {reason}: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
