"""Each fault done for real to the real gateway: what breaks, what must hold (docs/reliability.md)."""
