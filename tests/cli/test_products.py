"""`flask products`, as an operator runs it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from gateway.periods import Period
from gateway.products import Limits, Product, Products, Quota, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Flask = Callable[..., Result]

EVERY_LIMIT = {
    "--calls-per-minute": "60",
    "--call-quota": "1000",
    "--call-quota-period": "day",
    "--tokens-per-minute": "9000",
    "--token-quota": "1000000",
    "--token-quota-period": "lifetime",
    "--max-concurrency": "4",
    "--max-tokens": "512",
    "--priority": "-1",
    "--models": "a, b,a",
}
GOLD = Limits(
    rate=Rate(60),
    call_quota=Quota(1000, Period.DAY),
    tokens_per_minute=9000,
    token_quota=Quota(1_000_000, Period.LIFETIME),
    max_concurrency=4,
    max_tokens=512,
    models=("a", "b"),
    priority=-1,
)


def arguments(options: dict[str, str]) -> list[str]:
    return [part for pair in options.items() for part in pair]


def test_the_list_has_the_starters(flask: Flask) -> None:
    shown = flask("products", "list").stdout
    assert re.search(r"starter +5 a minute +100 a week", shown)
    assert "unlimited" in shown
    assert [one["id"] for one in json.loads(flask("products", "list", "--json").stdout)] == [
        "starter",
        "unlimited",
    ]


def test_show_has_every_limit(flask: Flask) -> None:
    assert "Calls            5 a minute\n" in flask("products", "show", "starter").stdout
    assert json.loads(flask("products", "show", "starter", "--json").stdout) == {
        "id": "starter",
        "name": "Starter",
        "limits": {
            "rate": {"calls": 5, "seconds": 60},
            "callQuota": {"amount": 100, "period": "week"},
            "tokensPerMinute": None,
            "tokenQuota": None,
            "maxConcurrency": None,
            "maxTokens": None,
            "models": None,
            "priority": None,
            "sharedCache": False,
        },
    }


def test_an_unknown_product_is_one_line_with_those_that_there_are(flask: Flask) -> None:
    result = flask("products", "show", "gold")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: There is no product 'gold'. The products are: starter, unlimited.\n"


def test_every_limit_can_be_set_at_once(flask: Flask, products: Products) -> None:
    result = flask("products", "set", "gold", *arguments(EVERY_LIMIT))
    assert "Created product gold." in result.stdout
    assert "1000000 in all" in result.stdout
    assert products.get("gold") == Product("gold", "gold", GOLD)


def test_a_product_can_be_made_without_any_limit(flask: Flask, products: Products) -> None:
    assert flask("products", "set", "open").exit_code == 0
    assert products.get("open").limits == Limits()


def test_what_is_not_given_stays(flask: Flask, products: Products) -> None:
    products.set("gold", lambda _: GOLD)
    result = flask("products", "set", "gold", "--call-quota", "7", "--token-quota-period", "month")
    changed = products.get("gold").limits
    assert "Changed product gold." in result.stdout
    assert changed.call_quota == Quota(7, Period.DAY)
    assert changed.token_quota == Quota(1_000_000, Period.MONTH)
    assert changed.rate == GOLD.rate
    assert changed.models == GOLD.models


def test_none_lifts_each_limit(flask: Flask, products: Products) -> None:
    products.set("gold", lambda _: GOLD)
    lifted = {option: "none" for option in EVERY_LIMIT if not option.endswith("-period")}
    document = json.loads(flask("products", "set", "gold", *arguments(lifted), "--json").stdout)
    assert products.get("gold").limits == Limits()
    assert set(document["limits"].values()) == {None, False}  # a shared cache is no limit


@pytest.mark.parametrize("period", [period.value for period in Period])
def test_every_period_of_the_contract_is_taken(flask: Flask, products: Products, period: str) -> None:
    assert flask("products", "set", "p", "--call-quota", "3", "--call-quota-period", period).exit_code == 0
    assert products.get("p").limits.call_quota == Quota(3, Period(period))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--call-quota", "5"], "--call-quota needs --call-quota-period: hour, day, week"),
        (["--token-quota-period", "day"], "--token-quota-period needs --token-quota"),
        (["--max-tokens", "0"], "'--max-tokens': give a whole number from 1 to 9007199254740991, or 'none'"),
        (["--max-tokens", "many"], "'--max-tokens': give a whole number"),
        (["--priority", "x"], "'--priority': give a whole number"),
        (["--models", " ,"], "'--models': give names of models"),
        (["--call-quota-period", "decade"], "'decade' is not one of"),
        (["--temperature", "1"], "No such option"),
    ],
)
def test_a_faulty_option_is_a_usage_error_and_changes_nothing(
    flask: Flask, products: Products, options: list[str], told: str
) -> None:
    result = flask("products", "set", "gold", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert [product.id for product in products.list()] == ["starter", "unlimited"]


def test_an_id_that_is_no_path_segment_is_one_line(flask: Flask) -> None:
    result = flask("products", "set", "a/b", "--max-tokens", "5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The id of a product should be" in result.stderr
