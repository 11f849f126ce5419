"""Medians, spreads, ratios, and what they allow to be said."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95

Verdict = Literal["yes", "no", "open"]


@dataclass(frozen=True)
class Figure:
    """One figure over all rounds."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Figure:
        """Median, least and largest."""
        return Figure(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Round by round: what disturbs a round disturbs both sides of it."""
    return [upper / lower for upper, lower in zip(numerators, denominators, strict=True)]


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest pair of values, alike far from both ends, that holds the true median with CONFIDENCE.

    The median is below the k-th smallest of n values as often as n coins show fewer than k heads, whatever the values'
    distribution (the sign test). None when even the least and the largest do not carry that much: below 6 values.
    """
    ordered, number = sorted(values), len(values)
    best = None
    outside = 0.0
    for rank in range(number // 2):
        outside += 2 * math.comb(number, rank) / 2**number
        if outside > 1 - CONFIDENCE:
            break
        best = (ordered[rank], ordered[number - 1 - rank])
    return best


def at_least(values: Sequence[float], floor: float) -> Verdict:
    """Whether the true median reaches a floor: `open` where the spread does not carry an answer."""
    interval = median_interval(values)
    if interval is None or interval[0] < floor <= interval[1]:
        return "open"
    return "yes" if interval[0] >= floor else "no"


def at_most(values: Sequence[float], ceiling: float) -> Verdict:
    """Whether the true median stays within a ceiling: `open` where the spread does not carry an answer."""
    return at_least([-value for value in values], -ceiling)


def differences(minuends: Sequence[float], subtrahends: Sequence[float]) -> list[float]:
    """Round by round, as `ratios`."""
    return [upper - lower for upper, lower in zip(minuends, subtrahends, strict=True)]
