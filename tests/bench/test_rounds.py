"""The order of the rounds, and what stops them, with sides that only pretend."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

from gateway.settings import load_settings
from tests.bench import arguments, rounds, sides
from tests.bench.load import MAX_TOKENS, Load, Outcome, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.rounds import Loading
    from tests.bench.sides import Name, Side


class PretendedSide:
    """Answers at once; writes its name and the load into a diary."""

    drives_itself = False

    def __init__(self, name: str, diary: list[tuple[str, Load]], tokens: Callable[[int], int]) -> None:
        self._name = name
        self._diary = diary
        self._tokens = tokens

    def run(self, load: Load) -> Outcome:
        """Answer at once."""
        self._diary.append((self._name, load))
        first = 0.1 if load.stream else None
        tokens = self._tokens(len(self._diary))
        return Outcome(
            1.0, 0.0, [Sample(first, 0.2, 9, tokens, prompt, 0.1 * at) for at, prompt in enumerate(load.prompts)]
        )

    def ids(self, prompts: Sequence[str]) -> list[list[int]] | None:
        """One for each character."""
        return [[ord(character) for character in prompt] for prompt in prompts]

    def processes(self) -> dict[str, list[int]]:
        """This one."""
        return {"front": [os.getpid()], "engine": [os.getpid()]}


def pretend(diary: list[tuple[str, Load]], tokens: Callable[[int], int] = lambda _turn: MAX_TOKENS) -> Loading:
    sides: dict[Name, Side] = {
        "bare": PretendedSide("bare", diary, lambda _turn: MAX_TOKENS),
        "get-data": PretendedSide("get-data", diary, tokens),
    }
    return lambda _number: nullcontext(sides)


CHOSEN = arguments.parse(["--rounds", "3", "--levels", "2", "--quick"])


def test_sides_take_turns_with_the_same_prompts() -> None:
    diary: list[tuple[str, Load]] = []
    result = rounds.measure(pretend(diary), CHOSEN, rest=0)
    measured = diary[4:]  # after the warm-up
    assert [name for name, _ in measured] == ["bare", "get-data"] * 2 + ["get-data", "bare"] * 2 + [
        "bare",
        "get-data",
    ] * 2
    pairs = list(zip(measured[::2], measured[1::2], strict=True))
    assert all(one == other for (_, one), (_, other) in pairs)
    assert len({tuple(load.prompts) for (_, load), _ in pairs}) == len(pairs)
    assert result.rounds == 3
    for found in result.series.values():
        assert all(len(series.tokens_per_second) == 3 for series in found.values())


def test_sides_are_loaded_more_than_once() -> None:
    diary: list[tuple[str, Load]] = []
    loaded: list[str] = []

    @contextmanager
    def load(number: int) -> Iterator[dict[Name, Side]]:
        loaded.append(f"load {number} after {len(diary)}")
        with pretend(diary)(number) as sides:
            yield dict(sides)
        loaded.append(f"unload {number}")

    chosen = arguments.parse(["--rounds", "5", "--loadings", "2", "--levels", "2", "--quick"])
    result = rounds.measure(load, chosen, rest=0)
    warm_up, round_ = 4, 4
    begun = warm_up + 2 * round_
    assert loaded == ["load 0 after 0", "unload 0", f"load 1 after {begun}", "unload 1"]
    assert result.rounds == 5
    assert len(diary) == 2 * warm_up + 5 * round_
    for found in result.series.values():
        assert all(len(series.tokens_per_second) == 5 for series in found.values())


def test_sides_are_loaded_the_other_way_round_every_other_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = arguments.parse(["--sides", "a,b,c"])
    loaded: list[str] = []
    monkeypatch.setattr(sides, "Child", lambda *_: nullcontext())
    for method in ("_bare", "_serve", "_gateway"):
        monkeypatch.setattr(sides._Loader, method, lambda _, method=method: loaded.append(method))  # noqa: SLF001
    for number in range(3):
        with sides.loaded(chosen, load_settings(), number):
            loaded.append(".")
    there, back = ["_bare", "_serve", "_gateway", "."], ["_gateway", "_serve", "_bare", "."]
    assert loaded == there + back + there


def test_sides_that_did_different_work_are_not_compared() -> None:
    with pytest.raises(rounds.UnequalError):
        rounds.measure(pretend([], lambda turn: MAX_TOKENS if turn < 8 else MAX_TOKENS - 1), CHOSEN, rest=0)


def test_prompts_with_short_answers_are_no_measure() -> None:
    with pytest.raises(rounds.UnequalError, match="0 of 64"):
        rounds.measure(pretend([], lambda _turn: 3), CHOSEN, rest=0)


@pytest.mark.parametrize("loadings", ["1", "3"])
def test_what_is_broken_off_leaves_whole_rounds(loadings: str) -> None:
    def tokens(turn: int) -> int:
        if turn > 10:
            raise KeyboardInterrupt
        return MAX_TOKENS

    chosen = arguments.parse(["--rounds", "3", "--loadings", loadings, "--levels", "2", "--quick"])
    result = rounds.measure(pretend([], tokens), chosen, rest=0)
    assert result.rounds == 1
    assert result.same_text == (8, 8)  # and not those of the round that was broken off
    for found in result.series.values():
        assert all(len(series.tokens_per_second) == 1 for series in found.values())
