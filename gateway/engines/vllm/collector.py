"""Python's garbage collector, kept off what is here to stay: vLLM's modules, the tokenizer, the configuration."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def importing() -> Iterator[None]:
    """Around an import of vLLM, a fifth of which would be looking for garbage in what is imported.

    There is a little (13 MB with vLLM 0.32): it stays, since finding it would take as long as half a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_to_the_end() -> None:
    """Look once through what has come since, and never again: each time, it would hold up every thread for it."""
    gc.collect()
    gc.freeze()
