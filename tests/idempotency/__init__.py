"""Calls with an Idempotency-Key: the rules in the store, over HTTP, between processes."""
