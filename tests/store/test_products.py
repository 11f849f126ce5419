"""Products: the starters, and limits that are set, changed and lifted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, InvalidRequestError, NotFoundError
from gateway.periods import Period
from gateway.products import LARGEST, Limits, Product, Products, Quota, Rate
from gateway.store import open_store
from tests.store.processes import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = st.none() | st.integers(1, LARGEST)
QUOTAS = st.none() | st.builds(Quota, st.integers(1, LARGEST), st.sampled_from(Period))
MODEL_NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=200)
LIMITS = st.builds(
    Limits,
    rate=st.none() | st.builds(Rate, st.integers(1, LARGEST), st.integers(1, 86_400)),
    call_quota=QUOTAS,
    tokens_per_minute=COUNTS,
    token_quota=QUOTAS,
    max_concurrency=COUNTS,
    max_tokens=COUNTS,
    models=st.none() | st.lists(MODEL_NAMES, min_size=1, max_size=4).map(tuple),
    priority=st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
)


def one_more_call(limits: Limits) -> Limits:
    return replace(limits, rate=Rate(limits.rate.calls + 1 if limits.rate else 1))


def add_calls(url: str, times: int) -> None:
    store = open_store(url, patience=30)
    for _ in range(times):
        Products(store).set("counted", one_more_call)
    store.close()


def test_a_new_store_has_the_two_starters(products: Products) -> None:
    assert products.list() == [
        Product("starter", "Starter", Limits(rate=Rate(5, 60), call_quota=Quota(100, Period.WEEK))),
        Product("unlimited", "Unlimited", Limits()),
    ]


def test_an_unknown_product_is_answered_with_those_that_there_are(products: Products) -> None:
    with pytest.raises(NotFoundError) as caught:
        products.get("gold")
    assert caught.value.message == "There is no product 'gold'. The products are: starter, unlimited."


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(limits=LIMITS)
def test_limits_come_back_as_they_were_set(products: Products, limits: Limits) -> None:
    products.set("p", lambda _: limits)
    assert products.get("p") == Product("p", "p", limits)


def test_setting_creates_and_then_changes_what_is_named_and_keeps_the_rest(products: Products) -> None:
    created = products.set("gold", lambda _: Limits(max_tokens=10, priority=-1), name="Gold")
    changed = products.set("gold", lambda limits: replace(limits, max_tokens=None, max_concurrency=2))
    assert created == (Product("gold", "Gold", Limits(max_tokens=10, priority=-1)), True)
    assert changed == (Product("gold", "Gold", Limits(max_concurrency=2, priority=-1)), False)
    assert products.get("gold") == changed.product


def test_changes_at_once_are_all_kept(url: str, products: Products) -> None:
    at_once(3, add_calls, url, 10)
    assert products.get("counted").limits.rate == Rate(30)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(0),
        lambda: Rate(5, 0),
        lambda: Rate(5, 86_401),
        lambda: Quota(0, Period.DAY),
        lambda: Quota(LARGEST + 1, Period.DAY),
        lambda: Limits(tokens_per_minute=0),
        lambda: Limits(max_concurrency=-1),
        lambda: Limits(max_tokens=LARGEST + 1),
        lambda: Limits(models=()),
        lambda: Limits(models=("a", "")),
        lambda: Limits(models=(" a",)),
        lambda: Limits(models=("a\n",)),
        lambda: Limits(priority=2**31),
    ],
)
def test_a_limit_out_of_its_range_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequestError):
        make()


@pytest.mark.parametrize("pid", ["", "*", "a/b", "a b", ".", "..", "-x", "é", "a" * 81, "a\n"])
def test_an_id_that_is_no_path_segment_is_refused(products: Products, pid: str) -> None:
    with pytest.raises(InvalidRequestError, match="id of a product"):
        products.set(pid, lambda limits: limits)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "\udce9"])
def test_a_name_that_cannot_be_shown_is_refused(products: Products, name: str) -> None:
    with pytest.raises(GatewayError, match="name"):
        products.set("gold", lambda limits: limits, name=name)
