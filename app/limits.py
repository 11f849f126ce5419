"""What an answer's headers tell of the caller's limits, in OpenAI's words.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission import Admission
    from gateway.call_limits import Window

LIMIT_HEADERS = [
    f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")
]


def limit_headers(admission: Admission) -> dict[str, str]:
    """Three headers for each kind of limit that the product has."""
    found: dict[str, str] = {}
    for of, window in (("requests", admission.requests), ("tokens", admission.tokens)):
        if window is not None:
            found |= _headers(of, window)
    return found


def _headers(of: str, window: Window) -> dict[str, str]:
    found = {
        f"x-ratelimit-limit-{of}": str(window.limit),
        f"x-ratelimit-remaining-{of}": str(window.remaining),
    }
    if window.reset is not None:  # a lifetime never begins anew
        found[f"x-ratelimit-reset-{of}"] = duration(window.reset)
    return found


def duration(seconds: float) -> str:
    """Such as `6m0s`, in whole seconds, rounded up."""
    whole = max(0, math.ceil(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (whole % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return "".join(f"{number}{unit}" for number, unit in parts)
