"""Requests and answers that were really sent: of the demo model, and of a management API with two subscriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLES: dict[str, Any] = json.loads(Path(__file__).with_name("examples.json").read_text("utf-8"))
"""By name. A stream is a text."""

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
"""The trace id in them: that of the W3C's own examples."""
