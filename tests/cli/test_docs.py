"""docs/subscriptions.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.cli.products import products
from app.cli.subscriptions import subscriptions
from gateway.subscription import TRANSITIONS

if TYPE_CHECKING:
    import click

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "subscriptions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("group", [subscriptions, products], ids=["subscriptions", "products"])
def test_every_command_is_in_the_table_and_no_other(group: click.Group) -> None:
    documented = set(re.findall(rf"^\| `flask {group.name} ([a-z-]+)", PAGE, flags=re.MULTILINE))
    assert documented == set(group.commands)


def test_every_option_of_products_set_is_on_the_page() -> None:
    options = {name for option in products.commands["set"].params for name in option.opts if name.startswith("--")}
    assert options - set(re.findall(r"--[a-z-]+", PAGE)) == set()


def test_the_table_of_states_is_the_code_s() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|[^|]*\|([^|]*)\|$", PAGE, flags=re.MULTILINE)
    documented = {state: {part.strip() for part in following.split(",") if part.strip()} for state, following in rows}
    assert documented == {state.value: {to.value for to in following} for state, following in TRANSITIONS.items()}
