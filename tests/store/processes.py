"""Runs one function in several fresh processes at the same moment."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier

T = TypeVar("T")

_context = multiprocessing.get_context("spawn")
_barriers: list[Barrier] = []


def at_once(count: int, function: Callable[..., T], *arguments: Any) -> list[T]:
    """What `function(*arguments)` returned in each of `count` processes, all started together."""
    barrier = _context.Barrier(count)
    with ProcessPoolExecutor(count, _context, initializer=_remember, initargs=(barrier,)) as pool:
        futures = [pool.submit(_start, function, arguments) for _ in range(count)]
        return [future.result(timeout=60) for future in futures]


def _remember(barrier: Barrier) -> None:
    _barriers.append(barrier)


def _start(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    _barriers[0].wait(timeout=60)
    return function(*arguments)
