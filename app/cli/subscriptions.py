"""`flask subscriptions`: create, look at, suspend, activate and cancel them, and replace their keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from app.cli.group import GatewayGroup, json_option, services
from app.cli.output import NOTHING, print_json, print_pairs, print_table, state_text
from app.documents import moment

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.subscription import KeySlot, Subscription

SHOWN_ONCE = "Shown only now: the gateway keeps no more than a hash of a key."
HOW_TO_USE = "Send either one in the header Ocp-Apim-Subscription-Key."

subscriptions = GatewayGroup("subscriptions", help="Who may call the gateway, and with which keys.")


@subscriptions.command("create")
@click.argument("name")
@click.option("--product", required=True, help="The product whose limits apply; see `flask products list`.")
@json_option
def create(name: str, product: str, *, as_json: bool) -> None:
    """Make the subscription NAME and print its two keys, once."""
    issued = services().subscriptions.create(name, product)
    if as_json:
        keys = {"primaryKey": issued.primary_key, "secondaryKey": issued.secondary_key}
        print_json({**_document(issued.subscription), **keys})
        return
    click.echo(f"Created subscription {issued.subscription.id} for product {product}.\n")
    print_pairs([("Primary key", issued.primary_key), ("Secondary key", issued.secondary_key)])
    click.echo(f"\n{SHOWN_ONCE}\n{HOW_TO_USE}")


@subscriptions.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show every subscription, the oldest first."""
    found = services().subscriptions.list()
    if as_json:
        print_json([_document(one) for one in found])
        return
    if not found:
        click.echo("There are no subscriptions yet: flask subscriptions create NAME --product starter")
        return
    print_table(
        ("Id", "Name", "Product", "State", "Created", "Expires"),
        [
            (
                one.id,
                one.name,
                _product(one),
                state_text(one.state),
                _day(one.created_at),
                _day(one.expires_at),
            )
            for one in found
        ],
    )


@subscriptions.command("show")
@click.argument("sid")
@json_option
def show(sid: str, *, as_json: bool) -> None:
    """Show the subscription SID; its keys cannot be shown again."""
    _print(services().subscriptions.get(sid), as_json=as_json)


@subscriptions.command("suspend")
@click.argument("sid")
@json_option
def suspend(sid: str, *, as_json: bool) -> None:
    """Keep SID from calling until it is activated again."""
    _print(services().subscriptions.suspend(sid), as_json=as_json)


@subscriptions.command("activate")
@click.argument("sid")
@json_option
def activate(sid: str, *, as_json: bool) -> None:
    """Let SID call: after it was submitted, suspended, or had expired."""
    _print(services().subscriptions.activate(sid), as_json=as_json)


@subscriptions.command("cancel")
@click.argument("sid")
@json_option
def cancel(sid: str, *, as_json: bool) -> None:
    """End SID for good."""
    _print(services().subscriptions.cancel(sid), as_json=as_json)


@subscriptions.command("regenerate-key")
@click.argument("sid")
@click.argument("key", type=click.Choice(["primary", "secondary"]))
@json_option
def regenerate_key(sid: str, key: KeySlot, *, as_json: bool) -> None:
    """Replace one KEY of SID and print the new one, once; the old one is void at once, the other stays."""
    new = services().subscriptions.regenerate(sid, key)
    if as_json:
        print_json({"id": sid, f"{key}Key": new})
        return
    click.echo(f"Replaced the {key} key of subscription {sid}.\n")
    print_pairs([(f"{key.capitalize()} key", new)])
    click.echo(f"\n{SHOWN_ONCE}")


@subscriptions.command("debug-token")
@click.argument("sid")
@click.option("--minutes", type=click.IntRange(1, 60), default=60, show_default=True, help="How long it is valid.")
@json_option
def debug_token(sid: str, minutes: int, *, as_json: bool) -> None:
    """Print a debug token for SID: a request that sends it in Apim-Debug-Authorization is traced; see `flask trace`."""
    subscription = services().subscriptions.get(sid)
    issued = services().traces.issue(subscription.id, timedelta(minutes=minutes))
    if as_json:
        print_json({"token": issued.token, "expirationDate": moment(issued.expires_at)})
        return
    print_pairs([("Debug token", issued.token), ("Expires", _moment(issued.expires_at))])
    click.echo("\nThe caller sends it in the header Apim-Debug-Authorization. Its answer has Apim-Trace-Id, for this:")
    click.echo("flask trace APIM_TRACE_ID")


def _print(subscription: Subscription, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(subscription))
        return
    print_pairs(
        [
            ("Id", subscription.id),
            ("Name", subscription.name),
            ("Product", _product(subscription)),
            ("State", subscription.state),
            ("Created", _moment(subscription.created_at)),
            ("Starts", _moment(subscription.starts_at)),
            ("Expires", _moment(subscription.expires_at)),
            ("Ended", _moment(subscription.ended_at)),
        ],
    )


def _document(subscription: Subscription) -> dict[str, str | None]:
    # The names are those of Azure API Management's subscription contract.
    return {
        "id": subscription.id,
        "name": subscription.name,
        "product": subscription.product,
        "state": subscription.state.value,
        "createdDate": moment(subscription.created_at),
        "startDate": moment(subscription.starts_at),
        "expirationDate": moment(subscription.expires_at),
        "endDate": moment(subscription.ended_at),
    }


def _product(subscription: Subscription) -> str:
    return subscription.product or "(all)"


def _day(moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{moment:%Y-%m-%d}"


def _moment(moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
