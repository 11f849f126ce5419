"""`flask usage`: what was used, by day, subscription, product and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from app.cli.group import OneLineErrors, json_option, services
from app.cli.output import NOTHING, print_json, print_table
from app.usage import document, names, selection
from gateway.usage import DEFAULT_BY, DIMENSIONS, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.usage import Sum

_FIGURES = ("Calls", "Failed", "Prompt", "Cached", "Completion", "Tokens")


@click.command("usage", cls=OneLineErrors)
@click.option("--subscription", metavar="SID", help="Only of this subscription.")
@click.option("--since", metavar="DATE", help="Only from this day on, such as 2026-01-31; in UTC.")
@click.option("--until", metavar="DATE", help="Only up to this day.")
@click.option(
    "--by", metavar="A,B", default=",".join(DEFAULT_BY), show_default=True, help=f"Sum by: {', '.join(DIMENSIONS)}."
)
@json_option
@with_appcontext
def usage(*, subscription: str | None, since: str | None, until: str | None, by: str, as_json: bool) -> None:
    """Show what was used: calls that have ended, and their tokens."""
    given = {"subscription": subscription, "since": since, "until": until}
    chosen = selection({name: value for name, value in given.items() if value is not None}, ("subscription",))
    wanted = names(by)
    sums = services().usage.sums(chosen, wanted)
    if as_json:
        print_json(document(sums))
    elif not sums:
        click.echo("Nothing was used.")
    else:
        rows = [(*(one.of[name] or NOTHING for name in wanted), *_figures(one)) for one in sums]
        if wanted:
            rows.append(("Total", *[""] * (len(wanted) - 1), *_figures(total(sums))))
        print_table((*(name.capitalize() for name in wanted), *_FIGURES), rows)


def _figures(one: Sum) -> Sequence[str]:
    numbers = (
        one.calls,
        one.failed_calls,
        one.prompt_tokens,
        one.cached_tokens,
        one.completion_tokens,
        one.total_tokens,
    )
    return [str(number) for number in numbers]
