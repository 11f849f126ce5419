"""Names for calls and requests that nobody else has, at little cost."""

from __future__ import annotations

import os
import random

# Not the module's own, which whoever likes may seed. It is seeded from the system, in a forked process once more.
_numbers = random.Random()  # noqa: S311 - what is unique need not be secret
os.register_at_fork(after_in_child=_numbers.seed)


def new_identifier() -> str:
    """32 lower-case hex digits, not all of them zero. Each request has two; they are no secrets.

    Made as OpenTelemetry's SDKs make trace ids: the system's cryptographic source would cost ten times as much.
    """
    return f"{_numbers.getrandbits(128) or 1:032x}"
