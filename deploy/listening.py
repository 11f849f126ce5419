"""Whether the server can listen where it is told to, found out before anything is started.

gunicorn would find it out after the engine host was started, try for seconds, and name no variable.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gunicorn.util import is_ipv6, parse_address

if TYPE_CHECKING:
    from gateway.settings import Address

_PATIENCE = 1.0  # for one who is just letting go of the port
_PAUSE = 0.05

_OVER_TCP = {
    errno.EADDRINUSE: "is in use: stop the program that listens there, or choose another port",
    errno.EADDRNOTAVAIL: "is on no address of this machine: choose one that it has, or 0.0.0.0 for all of them",
    errno.EACCES: "is not allowed to this user: choose a port from 1024 on",
}
_IN_A_FILE = {
    errno.EADDRINUSE: "is a file already, and no socket: remove it, or choose another path",
    errno.ENOENT: "is in a folder that does not exist: make the folder, or choose another path",
    errno.ENOTDIR: "is in something that is no folder: choose another path",
    errno.EISDIR: "is a folder: choose another path",
    errno.EACCES: "is in a folder that this user may not write to: choose another path",
}


def address_faults(address: Address) -> list[str]:
    """Why the server cannot listen there, in one line; none where it can. Nothing is left behind."""
    where = parse_address(address.address)
    in_a_file = isinstance(where, str)
    try:
        if in_a_file:
            _try_file(Path(where))
        else:
            _try_port(*where)
    except OSError as error:
        reason = (_IN_A_FILE if in_a_file else _OVER_TCP).get(error.errno or 0)
        reason = reason or f"cannot be listened on ({error.strerror or error}): choose another address"
        return [f"{address.address_variable}: {address.address} {reason}"]
    return []


def _try_port(host: str, port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _is_free(host, port, last=time.monotonic() >= deadline):
        time.sleep(_PAUSE)


def _is_free(host: str, port: int, *, last: bool) -> bool:
    with socket.socket(socket.AF_INET6 if is_ipv6(host) else socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            sock.bind((host, port))
        except OSError as error:
            if last or error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def _try_file(path: Path) -> None:
    if not path.exists():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(str(path))
        path.unlink()
    elif not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError(errno.EISDIR if path.is_dir() else errno.EADDRINUSE, "no socket")
    elif not os.access(path.parent, os.W_OK | os.X_OK):  # gunicorn replaces what another gateway has left
        raise OSError(errno.EACCES, "not to be replaced")
