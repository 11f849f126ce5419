"""What every group of commands shares: where services come from, and how a failure ends a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import click
from flask import current_app
from flask.cli import AppGroup

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.products import Products
    from gateway.subscriptions import Subscriptions
    from gateway.traces import Traces
    from gateway.usage import Usage


class Services(Protocol):
    """What the commands use of `app.extensions["gateway"]`."""

    @property
    def subscriptions(self) -> Subscriptions:
        """Who may call."""

    @property
    def products(self) -> Products:
        """What they may do."""

    @property
    def usage(self) -> Usage:
        """What they have used."""

    @property
    def traces(self) -> Traces:
        """What happened to requests of theirs, for support cases."""


def services() -> Services:
    """The services of the app that the command runs in."""
    return cast("Services", current_app.extensions["gateway"])


class OneLineErrors(click.Command):
    """A command whose failures are one line on standard error and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that `ctx` holds."""
        try:
            return super().invoke(ctx)
        except GatewayError as error:
            raise click.ClickException(_one_line(error)) from error


class GatewayGroup(OneLineErrors, AppGroup):
    """Commands whose failures are told so."""


def _one_line(error: GatewayError) -> str:
    # Whoever is at this shell runs the gateway, so the cause is for them too.
    text = error.message if error.detail is None else f"{error.message} ({error.detail})"
    return " ".join(text.split())


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
