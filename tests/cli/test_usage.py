"""`flask usage`, as an operator runs it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.ledger import Call, End, Ledger
from gateway.ledger import Usage as Cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from gateway.store import Store

    Flask = Callable[..., Result]


@pytest.fixture
def used(store: Store) -> None:
    """Three calls of two subscriptions on two days."""
    ledger = Ledger(store)
    for sid, day, status in (("ada", 1, 200), ("ada", 2, 200), ("bob", 2, 400)):
        call = Call("0" * 32, sid, "primary", "starter", "Get Data", datetime(2030, 1, day, tzinfo=UTC))
        cost = Cost(7, 5, 2, 5) if status == 200 else Cost()
        ledger.end(call, End(status, cost, "m" if status == 200 else None, 0.5), begun=False)


@pytest.mark.usefixtures("used")
def test_usage_is_a_table_with_a_total(flask: Flask) -> None:
    result = flask("usage")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines() if line.strip()]
    assert rows[0] == [
        "Day",
        "Subscription",
        "Product",
        "Model",
        "Calls",
        "Failed",
        "Prompt",
        "Cached",
        "Completion",
        "Tokens",
    ]
    assert ["2030-01-01", "ada", "starter", "m", "1", "0", "7", "2", "5", "12"] in rows
    assert ["2030-01-02", "bob", "starter", "-", "1", "1", "0", "0", "0", "0"] in rows
    assert rows[-1] == ["Total", "3", "1", "14", "4", "10", "24"]


@pytest.mark.usefixtures("used")
def test_json_is_one_document_and_nothing_else(flask: Flask) -> None:
    result = flask("usage", "--json")
    document = json.loads(result.stdout)
    assert result.stderr == ""
    assert document["count"] == 3
    assert document["value"][0] == {
        "day": "2030-01-01",
        "subscription": "ada",
        "product": "starter",
        "model": "m",
        "calls": 1,
        "failedCalls": 0,
        "promptTokens": 7,
        "cachedTokens": 2,
        "completionTokens": 5,
        "deliveredTokens": 5,
        "totalTokens": 12,
    }
    assert document["total"]["totalTokens"] == 24


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (("--subscription", "ada"), 2),
        (("--subscription", "nobody"), 0),
        (("--since", "2030-01-02"), 2),
        (("--subscription", "ada", "--since", "2030-01-02"), 1),
        (("--until", "2030-01-01"), 1),
        (("--since", "2030-01-01T00:00:01Z"), 2),
        (("--by", "subscription"), 3),
    ],
)
def test_usage_can_be_chosen(flask: Flask, options: tuple[str, ...], calls: int) -> None:
    assert json.loads(flask("usage", "--json", *options).stdout)["total"]["calls"] == calls


def test_nothing_is_said_in_words_and_in_json(flask: Flask) -> None:
    assert flask("usage").output == "Nothing was used.\n"
    assert json.loads(flask("usage", "--json").stdout)["value"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--since", "yesterday"), "should be a date such as 2026-01-31"),
        (("--since", "2030-01-02", "--until", "2030-01-01"), "end after it begins"),
        (("--by", "color"), "summed by day, subscription, product, model, operation"),
    ],
)
def test_what_cannot_be_read_is_one_line_on_standard_error(flask: Flask, options: tuple[str, ...], words: str) -> None:
    result = flask("usage", *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert words in line
