"""The forms of the addresses that the operator sets. Nothing is looked up or connected to.

A fault's text repeats nothing of the value, which may hold a password.
"""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import parse_qsl, urlsplit

_BIND = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\s]+):(?P<port>\d{1,5})|unix:(?P<path>.+)")
_LARGEST_PORT = 65535
_LONGEST_SOCKET_PATH = 107  # the kernel's, in bytes
# What is plainly right. SQLAlchemy, which judges the rest, takes a quarter of a second to import, and the engine host
# is to start before that.
_PLAIN_DATABASE = re.compile(
    r"sqlite:///(?!:memory:|file:)[\w./-]+"
    r"|postgresql(\+psycopg)?://([\w.%-]+(:[\w.%-]+)?@)?[A-Za-z0-9.-]+(:\d{1,5})?/[\w-]+(\?[\w=&%./-]*)?",
    re.ASCII,
)
_REDIS_TLS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_REDIS_CERTIFICATES = {"none", "optional", "required"}
_REDIS_FORMS = (
    "should be redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], the same with rediss for TLS, or unix:///PATH"
)


def check_bind(value: str) -> str:
    """Where the server listens.

    Raises:
        ValueError: gunicorn could not read it, or no machine can have such an address.
    """
    found = _BIND.fullmatch(value)
    if found is None or int(found["port"] or 0) > _LARGEST_PORT:
        raise ValueError("should be HOST:PORT, such as 0.0.0.0:8000, or unix:PATH")
    if found["host"] and not _is_host(found["host"].strip("[]")):
        raise ValueError("should have an IP address such as 0.0.0.0 or [::], or a host's name, before the port")
    if found["path"] and len(os.fsencode(found["path"].removeprefix("//"))) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"should have a path of at most {_LONGEST_SOCKET_PATH} bytes")
    return value


def _is_host(host: str) -> bool:
    try:
        if ":" in host:
            socket.inet_pton(socket.AF_INET6, host)
        elif re.fullmatch(r"[\d.]+", host):
            socket.inet_aton(host)
        else:
            host.encode("idna")  # as binding will do it
    except (OSError, ValueError):
        return False
    return True


def check_database(value: str) -> str:
    """The key store's URL.

    Raises:
        ValueError: the store does not run on such a URL.
    """
    if _PLAIN_DATABASE.fullmatch(value) is None:
        from gateway.store import StoreError  # noqa: PLC0415 - see `_PLAIN_DATABASE`
        from gateway.store.engines import parse_url  # noqa: PLC0415

        try:
            parse_url(value)
        except StoreError as error:
            raise ValueError(str(error)) from None
    return value


def check_collector(value: str) -> str:
    """Where traces are sent to.

    Raises:
        ValueError: it is no URL over HTTP.
    """
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("should be the URL of an OpenTelemetry collector, such as http://127.0.0.1:4318")
    return value


def check_redis(value: str) -> str:
    """The Redis that counts calls.

    Raises:
        ValueError: its client does not take such a URL.
    """
    try:
        parts = urlsplit(value)
        port_is_one = parts.port != 0
        (parts.hostname or "").encode("idna")  # as the connection will do it
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(_REDIS_FORMS) from None
    database = parts.path.strip("/")
    over_tcp = bool(parts.hostname) and port_is_one and (not database or database.isdecimal())
    is_good = {
        "redis": over_tcp and not options,
        "rediss": over_tcp and options.keys() <= _REDIS_TLS,
        "unix": bool(database) and not parts.hostname and options.keys() <= {"db"},
    }
    if not is_good.get(parts.scheme) or parts.fragment or not value.isprintable() or " " in value:
        raise ValueError(_REDIS_FORMS)
    if not options.get("db", "0").isdecimal():
        raise ValueError("should have a number as its db")
    if options.get("ssl_cert_reqs", "required") not in _REDIS_CERTIFICATES:
        raise ValueError("should have none, optional or required as its ssl_cert_reqs")
    return value
