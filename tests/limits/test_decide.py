"""What a call may reserve is arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.allowances import Allowance, Grant, decide
from gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Sequence

sequences = st.lists(st.integers(1, 60), min_size=1, max_size=5)


def allowance(limit: int, used: int = 0, reserved: int = 0) -> Allowance:
    return Allowance(limit, used, reserved, lambda least: PermissionDeniedError(f"{least} do not fit"), 60.0)


def test_without_limits_everything_is_granted() -> None:
    assert decide(10, [50, 70], []) == Grant(70, 130, waits=False)


def test_what_fits_is_granted_whole() -> None:
    assert decide(10, [50], [allowance(100, used=20, reserved=20)]) == Grant(50, 60, waits=False)


def test_an_answer_is_cut_to_what_is_left_rather_than_refused() -> None:
    assert decide(10, [50], [allowance(100, used=89)]) == Grant(1, 11, waits=False)


def test_what_does_not_pay_for_one_token_is_refused() -> None:
    with pytest.raises(PermissionDeniedError, match="11 do not fit"):
        decide(10, [50], [allowance(100, used=90)])


def test_what_others_hold_may_come_back_and_is_worth_waiting_for() -> None:
    assert decide(10, [50], [allowance(100, used=20, reserved=40)]) == Grant(30, 40, waits=True)
    assert decide(10, [50], [allowance(100, used=20, reserved=75)]).most == 0
    assert decide(10, [50], [allowance(100, used=20, reserved=75)]).waits


def test_the_tightest_limit_counts() -> None:
    assert decide(10, [50], [allowance(1000), allowance(40)]) == Grant(30, 40, waits=False)


def test_short_sequences_leave_the_rest_to_long_ones() -> None:
    assert decide(0, [5, 100, 100], [allowance(65)]) == Grant(30, 65, waits=False)


@given(st.integers(0, 50), sequences, st.integers(1, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_grant_fits_and_no_larger_one_does(
    prompt: int, wanted: Sequence[int], limit: int, used: int, reserved: int
) -> None:
    used = min(used, limit)
    reserved = min(reserved, limit - used)
    try:
        grant = decide(prompt, wanted, [allowance(limit, used, reserved)])
    except PermissionDeniedError:
        assert limit - used < prompt + len(wanted)
        return
    free = limit - used - reserved
    if grant.most == 0:
        assert grant.waits
        assert free < prompt + len(wanted)
        return
    assert grant.reserved == prompt + sum(min(grant.most, one) for one in wanted) <= free
    larger = prompt + sum(min(grant.most + 1, one) for one in wanted)
    assert grant.most == max(wanted) or larger > free
    assert grant.waits == (reserved > 0 and grant.reserved < prompt + sum(wanted))
