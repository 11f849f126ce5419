"""The operator's commands: `flask subscriptions …`, `flask products …`, `flask usage` and `flask trace`.

Each takes its services from the app when it runs, and hands on what it needs of them. None of them loads the
engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.products import products
from app.cli.subscriptions import subscriptions
from app.cli.traces import trace
from app.cli.usage import usage

if TYPE_CHECKING:
    from flask import Flask


def register_commands(app: Flask) -> None:
    """Adds the groups to `app`'s command line; they expect `app.extensions["gateway"]` to be `Services`."""
    app.cli.add_command(subscriptions)
    app.cli.add_command(products)
    app.cli.add_command(usage)
    app.cli.add_command(trace)
