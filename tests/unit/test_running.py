"""The calls that run, by whose they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.running import RunningCalls


def admission(call: str, subscription: str) -> Any:
    return SimpleNamespace(call=SimpleNamespace(id=call, account_key=subscription))


def test_calls_are_found_by_their_ids_and_by_their_subscriptions() -> None:
    calls, first, second, other = RunningCalls(), admission("1", "a"), admission("2", "a"), admission("3", "b")
    for one in (first, second, other, second):
        calls.add(one)
    assert len(calls) == 3
    assert calls.all() == [first, second, other]
    assert calls.of("a") == [first, second]
    assert calls.of("c") == []
    assert "2" in calls
    assert "4" not in calls


def test_a_call_is_not_beside_itself_whether_it_runs_yet_or_not() -> None:
    calls, first, second = RunningCalls(), admission("1", "a"), admission("2", "a")
    calls.add(admission("3", "b"))
    assert calls.beside(first) == 0
    calls.add(first)
    assert calls.beside(first) == 0
    assert calls.beside(second) == 1
    calls.add(second)
    assert calls.beside(first) == calls.beside(second) == 1


def test_nothing_is_left_of_calls_that_have_ended() -> None:
    calls, first, second = RunningCalls(), admission("1", "a"), admission("2", "a")
    calls.add(first)
    calls.add(second)
    calls.remove(first)
    assert calls.of("a") == [second]
    calls.remove(first)  # it had ended
    calls.remove(second)
    assert not calls
    assert vars(calls)["_by_account"] == {}
