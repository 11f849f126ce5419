"""The table of figures, written and written again."""

from __future__ import annotations

import pytest

from gateway.settings import ROOT
from tests.faults import table

EMPTY = f"Before.\n\n{table.BEGIN}\n{table.END}\n\nAfter.\n"


def test_a_row_that_is_not_measured_keeps_its_figure() -> None:
    first = table.write(EMPTY, {1: ["0.2 s", "64 streams"], 9: ["exact"]}, "Monday, here")
    second = table.write(first, {9: ["exact again"]}, "Tuesday, there")
    assert "| 0.2 s; 64 streams | Monday, here |" in second
    assert "| exact again | Tuesday, there |" in second
    assert "| not yet |  |" in second
    assert second.startswith("Before.\n")
    assert second.endswith("\n\nAfter.\n")
    assert table.write(second, {}, "") == second


def test_a_document_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        table.write("Nothing.\n", {}, "")


def test_the_document_has_every_row_as_it_is_written() -> None:
    document = (ROOT / "docs" / "reliability.md").read_text()
    assert table.write(document, {}, "") == document
