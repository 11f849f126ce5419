"""`flask subscriptions`, as an operator runs it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidKeyError
from gateway.subscription import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from gateway.subscriptions import Subscriptions

    Flask = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[2]
KEY = re.compile(r"\b[0-9a-f]{32}\b")

TINY_APP = """
import sys
from pathlib import Path
from types import SimpleNamespace

from flask import Flask

from app.cli import register_commands
from gateway.keys import KeyHasher, load_pepper
from gateway.products import Products
from gateway.store import open_store
from gateway.subscriptions import Subscriptions

VAR = Path(__file__).parent / "var"
store = open_store(f"sqlite:///{VAR / 'gateway.sqlite3'}")
hasher = KeyHasher(load_pepper(VAR / "pepper"))
app = Flask("tiny")
services = SimpleNamespace(subscriptions=Subscriptions(store, hasher), products=Products(store))
app.extensions["gateway"] = services
register_commands(app)


@app.cli.command()
def heavy():
    print(sorted(name for name in ("vllm", "torch", "transformers") if name in sys.modules))
"""


def test_create_prints_both_keys_and_says_that_it_does_so_once(flask: Flask, subscriptions: Subscriptions) -> None:
    result = flask("subscriptions", "create", "Acme Inc.", "--product", "starter")
    assert result.exit_code == 0
    assert "Created subscription acme-inc for product starter." in result.stdout
    assert "Shown only now" in result.stdout
    keys = KEY.findall(result.stdout)
    assert [subscriptions.verify(key).key for key in keys] == ["primary", "secondary"]


def test_create_with_json_prints_nothing_but_one_document(flask: Flask, subscriptions: Subscriptions) -> None:
    result = flask("subscriptions", "create", "Ünï", "--product", "unlimited", "--json")
    document = json.loads(result.stdout)
    assert result.stderr == ""
    assert {name: document[name] for name in ("id", "name", "product", "state")} == {
        "id": "uni",
        "name": "Ünï",
        "product": "unlimited",
        "state": "active",
    }
    assert subscriptions.verify(document["primaryKey"]).key == "primary"
    assert subscriptions.verify(document["secondaryKey"]).key == "secondary"


def test_an_unknown_product_is_one_line_with_those_that_there_are(flask: Flask) -> None:
    result = flask("subscriptions", "create", "Acme", "--product", "gold", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no product 'gold'. The products are: starter, unlimited.\n"


def test_a_missing_product_is_a_usage_error(flask: Flask) -> None:
    result = flask("subscriptions", "create", "Acme")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--product" in result.stderr


def test_an_empty_list_says_how_to_begin(flask: Flask) -> None:
    assert "flask subscriptions create" in flask("subscriptions", "list").stdout
    assert json.loads(flask("subscriptions", "list", "--json").stdout) == []


def test_the_list_shows_every_subscription_and_no_key(flask: Flask, subscriptions: Subscriptions) -> None:
    long_name = "a rather long name with [bold]brackets[/bold], " * 2
    for name in ("Acme", long_name):
        subscriptions.create(name, "starter")
    subscriptions.suspend("acme")
    shown = flask("subscriptions", "list").stdout
    document = flask("subscriptions", "list", "--json").stdout
    assert re.search(r"acme +Acme +starter +suspended", shown)
    assert long_name.strip() in shown
    assert [one["state"] for one in json.loads(document)] == ["suspended", "active"]
    assert KEY.search(shown + document) is None


def test_show_has_the_dates_in_utc(flask: Flask, subscriptions: Subscriptions) -> None:
    made = subscriptions.create("Acme", "starter").subscription.created_at
    assert f"Created  {made:%Y-%m-%d %H:%M:%S} UTC" in flask("subscriptions", "show", "acme").stdout
    document = json.loads(flask("subscriptions", "show", "acme", "--json").stdout)
    assert document["createdDate"] == made.isoformat().replace("+00:00", "Z")
    assert document["expirationDate"] is None


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_suspend_activate_and_cancel_change_the_state(
    flask: Flask, subscriptions: Subscriptions, extra: tuple[str, ...]
) -> None:
    subscriptions.create("Acme", "starter")
    for command, state in (("suspend", "suspended"), ("activate", "active"), ("cancel", "cancelled")):
        result = flask("subscriptions", command, "acme", *extra)
        assert result.exit_code == 0
        assert state in result.stdout
        assert subscriptions.get("acme").state is State(state)


def test_what_the_state_does_not_allow_says_what_to_do(flask: Flask, subscriptions: Subscriptions) -> None:
    subscriptions.create("Acme", "starter", state=State.CANCELLED)
    result = flask("subscriptions", "activate", "acme")
    assert result.exit_code == 1
    assert result.stderr.endswith("cannot become active. Create a new one instead.\n")


@pytest.mark.parametrize("command", ["show", "suspend", "activate", "cancel"])
def test_an_unknown_subscription_is_one_line(flask: Flask, command: str) -> None:
    result = flask("subscriptions", command, "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: There is no subscription 'nobody'.")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("slot", ["primary", "secondary"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_key_is_replaced_and_shown_once(
    flask: Flask, subscriptions: Subscriptions, slot: str, *, as_json: bool
) -> None:
    issued = subscriptions.create("Acme", "starter")
    old, kept = issued.primary_key, issued.secondary_key
    if slot == "secondary":
        old, kept = kept, old
    result = flask("subscriptions", "regenerate-key", "acme", slot, *(["--json"] if as_json else []))
    (new,) = KEY.findall(result.stdout)
    if as_json:
        assert json.loads(result.stdout) == {"id": "acme", f"{slot}Key": new}
    assert subscriptions.verify(new).key == slot
    subscriptions.verify(kept)
    with pytest.raises(InvalidKeyError):
        subscriptions.verify(old)


def test_another_key_than_the_two_is_a_usage_error(flask: Flask) -> None:
    assert flask("subscriptions", "regenerate-key", "acme", "third").exit_code == 2


def test_a_store_that_cannot_be_reached_is_one_line_with_the_cause(flask: Flask, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "g.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = flask("subscriptions", "create", "Acme", "--product", "starter")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The key store cannot be reached. Try again in 2 seconds. (OperationalError: database is locked)\n"
    )


def test_the_commands_run_as_a_program_without_the_engine(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_APP)
    environment = {**os.environ, "FLASK_APP": "tiny.py", "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "flask", *arguments],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    created = json.loads(run("subscriptions", "create", "Acme", "--product", "starter", "--json"))
    assert KEY.fullmatch(created["primaryKey"])
    assert [one["id"] for one in json.loads(run("subscriptions", "list", "--json"))] == ["acme"]
    assert run("heavy").strip() == "[]"
