"""What commands print: JSON for programs; tables and aligned lines for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTHING = "-"

_WIDTH_OF_A_PIPE = 400  # more than the longest id, name and product need
_STYLES = {"active": "green", "submitted": "cyan", "suspended": "yellow"}
_ENDED = "red"


def print_json(document: object) -> None:
    """One JSON document on standard output, in ASCII, so that no terminal setting can spoil it."""
    click.echo(json.dumps(document, indent=2))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table whose cells are folded rather than cut where the terminal is narrow."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # A plain string would be read for rich's markup, and names may have brackets.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """One line for each pair, the values under one another; never wrapped, so that keys can be copied."""
    width = max(len(label) for label, _ in pairs)
    for label, value in pairs:
        click.echo(f"  {label:<{width}}  {value}")


def state_text(state: str) -> Text:
    """A subscription's state in its colour."""
    return Text(state, style=_STYLES.get(state, _ENDED))
