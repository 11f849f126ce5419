"""A database's URL that is plainly right is judged without SQLAlchemy, whose import would hold up the start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.settings import ROOT
from gateway.store.engines import parse_url

PLAIN = [
    "sqlite:////srv/gateway/g.sqlite3",
    "sqlite:///var/g-2.sqlite3",
    "postgresql://db.example/gateway",
    "postgresql://user:p%40ss@127.0.0.1:5432/gateway",
    "postgresql+psycopg://user@db.example/gateway?sslmode=verify-full&sslrootcert=/etc/ca.pem",
]


def test_a_plain_url_needs_no_sqlalchemy() -> None:
    program = (
        "import sys; from gateway.addresses import check_database; from gateway.settings import load_settings\n"
        "for url in sys.argv[1:]: check_database(url)\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, *PLAIN], cwd=ROOT, check=True)


@pytest.mark.parametrize("url", PLAIN)
def test_sqlalchemy_takes_what_is_plain(url: str) -> None:
    parse_url(url)
