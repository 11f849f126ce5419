"""`flask products`: look at the sets of limits, make them and change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from app.cli.group import GatewayGroup, json_option, services
from app.cli.limits import COUNT, PERIOD, PRIORITY, Names, Options, describe
from app.cli.output import print_json, print_pairs, print_table
from app.documents import limits_document
from gateway.products import Limits

if TYPE_CHECKING:
    from gateway.products import Product

products = GatewayGroup("products", help="Named sets of limits, which subscriptions are made for.")


@products.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show every product with its limits; `-` is no limit."""
    found = services().products.list()
    if as_json:
        print_json([_document(product) for product in found])
        return
    rows = [(product.id, *(text for _, text in describe(product.limits))) for product in found]
    print_table(("Id", *(label for label, _ in describe(Limits()))), rows)


@products.command("show")
@click.argument("pid")
@json_option
def show(pid: str, *, as_json: bool) -> None:
    """Show the product PID; `-` is no limit."""
    _print(services().products.get(pid), as_json=as_json)


@products.command("set")
@click.argument("pid")
@click.option("--calls-per-minute", type=COUNT, metavar="N", help="Calls in any minute.")
@click.option("--call-quota", type=COUNT, metavar="N", help="Calls in a period.")
@click.option("--call-quota-period", type=PERIOD, help="The period of the call quota.")
@click.option("--tokens-per-minute", type=COUNT, metavar="N", help="Tokens of prompts and answers, in a minute.")
@click.option("--token-quota", type=COUNT, metavar="N", help="Tokens of prompts and answers, in a period.")
@click.option("--token-quota-period", type=PERIOD, help="The period of the token quota.")
@click.option("--max-concurrency", type=COUNT, metavar="N", help="Calls at a time.")
@click.option("--max-tokens", type=COUNT, metavar="N", help="The most tokens that one call may have generated.")
@click.option("--priority", type=PRIORITY, metavar="N", help="A smaller number goes first.")
@click.option(
    "--shared-cache/--private-cache",
    default=None,
    help="Whether its subscriptions share one prefix cache. Sharing is faster, and lets one learn what others asked.",
)
@click.option("--models", type=Names(), metavar="A,B", help="The models that calls may name.")
@json_option
def set_(pid: str, *, as_json: bool, **options: Any) -> None:
    """Make the product PID, or change its limits that are given; `none` lifts one."""
    saved = services().products.set(pid, Options(**options).applied_to)
    if not as_json:
        click.echo(f"{'Created' if saved.created else 'Changed'} product {pid}.\n")
    _print(saved.product, as_json=as_json)


def _print(product: Product, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(product))
        return
    print_pairs([("Id", product.id), ("Name", product.name), *describe(product.limits)])


def _document(product: Product) -> dict[str, object]:
    return {"id": product.id, "name": product.name, "limits": limits_document(product.limits)}
