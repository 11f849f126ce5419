"""What a call may reserve is arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.allowances import BLOCK, SHARE, Allowance, Extension, Grant, decide, extend
from gateway.engine import Standing
from gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Sequence

sequences = st.lists(st.integers(1, 300), min_size=1, max_size=5)


def allowance(limit: int, used: int = 0, reserved: int = 0, spent: int = 0) -> Allowance:
    def refuse(least: int, gone: int) -> PermissionDeniedError:
        return PermissionDeniedError(f"{least} do not fit, {limit - gone} are left")

    return Allowance(limit, used, reserved, refuse, 60.0, lambda: spent)


def at(*produced: int) -> list[Standing]:
    """Sequences that run."""
    return [Standing(one, ended=False) for one in produced]


def test_without_limits_everything_is_granted() -> None:
    assert decide(10, [500, 700], []) == Grant(700, 1210)


def test_a_short_answer_is_granted_whole() -> None:
    assert decide(10, [50], [allowance(1000, used=20, reserved=20)]) == Grant(50, 60)


def test_a_long_answer_is_granted_a_block() -> None:
    assert decide(10, [1000], [allowance(2000)]) == Grant(BLOCK, 10 + BLOCK)
    assert decide(10, [1000, 50], [allowance(2000)]) == Grant(BLOCK, 60 + BLOCK)


def test_where_there_is_plenty_a_block_is_larger() -> None:
    assert decide(10, [4000], [allowance(10 + 1000 * SHARE)]) == Grant(1000, 1010)
    assert decide(10, [4000], [allowance(10**9)]) == Grant(4000, 4010)
    assert decide(10, [4000, 4000], [allowance(10 + 1000 * SHARE)]) == Grant(500, 1010)


def test_a_call_takes_what_there_is_rather_than_wait() -> None:
    assert decide(10, [50], [allowance(100, used=89)]) == Grant(1, 11)
    assert decide(10, [50], [allowance(100, used=20, reserved=40)]) == Grant(30, 40)


def test_what_does_not_pay_for_one_token_is_refused() -> None:
    with pytest.raises(PermissionDeniedError, match="11 do not fit, 10 are left"):
        decide(10, [50], [allowance(100, used=90)])


def test_what_others_hold_is_worth_waiting_for_as_long_as_they_may_give_it_back() -> None:
    assert decide(10, [50], [allowance(100, used=20, reserved=75, spent=69)]) == Grant(0, 0)
    with pytest.raises(PermissionDeniedError, match="11 do not fit, 10 are left"):
        decide(10, [50], [allowance(100, used=20, reserved=75, spent=70)])


def test_the_tightest_limit_counts() -> None:
    assert decide(10, [50], [allowance(1000), allowance(40)]) == Grant(30, 40)


def test_short_sequences_leave_the_rest_to_long_ones() -> None:
    assert decide(0, [5, 100, 100], [allowance(65)]) == Grant(30, 65)


@given(st.integers(0, 50), sequences, st.integers(1, 2000), st.integers(0, 2000), st.integers(0, 2000))
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
    if grant.ids == 0:
        assert free < prompt + len(wanted)
        return
    assert grant.reserved == prompt + sum(min(grant.ids, one) for one in wanted) <= free
    larger = prompt + sum(min(grant.ids + 1, one) for one in wanted)
    assert grant.ids == max(wanted) or grant.ids >= BLOCK or larger > free


def test_a_lease_grows_by_a_block() -> None:
    assert extend(10, [1000], at(100), 128, [allowance(2000)]) == Extension(256, 266, last=False)
    assert extend(10, [140], at(100), 128, [allowance(2000)]) == Extension(140, 150, last=False)


def test_a_lease_grows_by_what_there_is() -> None:
    assert extend(10, [1000], at(100), 128, [allowance(200)]) == Extension(190, 200, last=False)
    assert extend(10, [1000], at(100), 128, [allowance(200, used=30, reserved=30)]) == Extension(130, 140, last=False)


def test_what_has_ended_keeps_what_it_produced_and_no_more() -> None:
    standings = [Standing(5, ended=True), Standing(120, ended=False)]
    assert extend(10, [1000, 1000], standings, 128, [allowance(270)]) == Extension(255, 270, last=False)


def test_several_sequences_grow_evenly_and_leave_what_cannot_be_shared() -> None:
    assert extend(10, [1000, 1000], at(100, 100), 100, [allowance(213)]) == Extension(101, 212, last=False)
    assert extend(10, [1000, 1000], at(100, 100), 100, [allowance(211)]) == Extension(100, 210, last=True)


def test_a_lease_is_the_last_one_when_nothing_can_come_back() -> None:
    assert extend(10, [1000], at(90), 90, [allowance(100)]).last
    assert extend(10, [1000], at(90), 90, [allowance(200, used=60, reserved=40, spent=40)]).last
    assert not extend(10, [1000], at(90), 90, [allowance(200, used=60, reserved=40, spent=39)]).last


def test_a_lease_is_not_the_last_one_before_it_is_used_up() -> None:
    assert not extend(10, [1000], at(89), 90, [allowance(100)]).last
    # The second sequence may end before its lease does, and leave the rest to the first.
    assert not extend(10, [1000, 1000], at(45, 44), 45, [allowance(100)]).last
    assert extend(10, [1000, 45], at(45, 45), 45, [allowance(100)]).last


def test_a_quota_that_was_lowered_takes_nothing_back() -> None:
    assert extend(10, [1000], at(80), 90, [allowance(50, used=20)]) == Extension(90, 100, last=False)
    assert extend(10, [1000], at(90), 90, [allowance(50, used=20)]) == Extension(90, 100, last=True)


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1), st.booleans()), min_size=1, max_size=5),
    st.integers(1, 200),
    st.integers(0, 2000),
    st.integers(0, 500).flatmap(lambda reserved: st.tuples(st.just(reserved), st.integers(0, reserved))),
)
def test_an_extension_fits_and_is_the_last_one_only_in_need(
    prompt: int, states: list[tuple[int, float, bool]], ids: int, more: int, others: tuple[int, int]
) -> None:
    reserved, spent = others
    most = [one for one, _, _ in states]
    standings = [Standing(int(min(one, ids) * part), ended) for one, part, ended in states]
    held = prompt + sum(one.produced if one.ended else min(cap, ids) for cap, one in zip(most, standings, strict=True))
    found = extend(prompt, most, standings, ids, [allowance(held + reserved + more, 0, reserved, spent)])
    assert found.ids >= ids
    assert held <= found.reserved <= held + more
    growing = sum(not one.ended and cap > ids for cap, one in zip(most, standings, strict=True))
    if growing:
        assert (found.ids > ids) == (more >= growing)
    if found.last:
        assert more + reserved - spent < growing
