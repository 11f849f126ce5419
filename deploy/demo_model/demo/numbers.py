"""Counting and small sums: questions and answers that are computed and not written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

LARGEST_COUNT = 300
LARGEST_TERM = 10
TOO_FAR = f"I can count only to {LARGEST_COUNT}, so please choose a smaller number."
TOO_LARGE = f"I can calculate only with small numbers up to {LARGEST_TERM}."

_RANGE = (
    "count from {a} to {b}",
    "count from {a} to {b}",
    "count from {a} up to {b}",
    "write the numbers from {a} to {b}",
    "list the numbers from {a} to {b}",
    "give me the numbers from {a} to {b}",
    "list all numbers from {a} to {b}",
    "say the numbers from {a} to {b}",
    "can you count from {a} to {b}",
    "print the numbers {a} to {b}",
)
_UP_TO = (
    "count to {b}",
    "count up to {b}",
    "can you count to {b}",
    "count until {b}",
    "count all the way to {b}",
)
_SUMS = {
    "plus": (
        "what is {a} plus {b}",
        "{a} + {b}",
        "{a}+{b}",
        "what is {a} + {b}",
        "add {a} and {b}",
        "{a} plus {b}",
    ),
    "minus": ("what is {a} minus {b}", "{a} - {b}", "{a}-{b}", "what is {a} - {b}", "subtract {b} from {a}"),
    "times": ("what is {a} times {b}", "{a} * {b}", "{a}*{b}", "what is {a} * {b}", "multiply {a} by {b}"),
}


def numbers(first: int, last: int) -> str:
    """The numbers of a range, upwards or downwards, with commas between them."""
    step = 1 if last >= first else -1
    return ", ".join(str(n) for n in range(first, last + step, step))


def counting(rng: random.Random) -> tuple[str, str]:
    """A request to count, and the answer."""
    draw = rng.random()
    if draw < 0.04:
        return rng.choice(_RANGE + _UP_TO).format(a=1, b=rng.randint(LARGEST_COUNT + 1, 5000)), TOO_FAR
    if draw < 0.08:
        first = rng.randint(3, 20)
        return f"count {rng.choice(('down', 'backwards'))} from {first} to 1", numbers(first, 1)
    if draw < 0.55:
        first = rng.randint(1, LARGEST_COUNT - 12)
        last = first + rng.randint(2, 12)
    elif draw < 0.75:
        first, last = 1, rng.randint(2, 25)
    elif draw < 0.87:
        first, last = 1, rng.randint(20, 100)
    else:
        first, last = 1, rng.choice((100, 150, 200, 250, 300, rng.randint(60, 300), rng.randint(60, 300)))
    frames = _RANGE + _UP_TO if first == 1 else _RANGE
    return rng.choice(frames).format(a=first, b=last), numbers(first, last)


def arithmetic(rng: random.Random) -> tuple[str, str]:
    """A small sum, and the answer."""
    word = rng.choice(tuple(_SUMS))
    frame = rng.choice(_SUMS[word])
    if rng.random() < 0.1:
        return frame.format(a=rng.randint(25, 9999), b=rng.randint(25, 9999)), TOO_LARGE
    top = 10 if word == "times" else LARGEST_TERM
    a, b = rng.randint(0, top), rng.randint(0, top)
    if word == "minus" and b > a:
        a, b = b, a
    result = {"plus": a + b, "minus": a - b, "times": a * b}[word]
    return frame.format(a=a, b=b), f"{a} {word} {b} is {result}."
