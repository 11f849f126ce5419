"""Sums over the ledger are the same on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.products import Limits
from gateway.usage import Selection, Usage, total

if TYPE_CHECKING:
    from tests.limits.conftest import Book


def test_sums_come_in_one_order_with_the_calls_without_a_model_first(book: Book) -> None:
    book.finish(book.admitted(Limits()), 7)
    book.call(Limits()).settle(400)
    book.admitted(Limits())  # runs
    sums = Usage(book.store).sums(Selection({"subscription": "acme"}), ["day", "model"])
    assert [(one.of, one.calls, one.failed_calls, one.total_tokens) for one in sums] == [
        ({"day": "2030-01-01", "model": None}, 1, 1, 0),
        ({"day": "2030-01-01", "model": "m"}, 1, 0, 17),
    ]
    assert (total(sums).calls, total(sums).total_tokens) == (2, 17)


def test_nothing_is_summed_to_nothing(book: Book) -> None:
    assert Usage(book.store).sums(Selection(), []) == []
