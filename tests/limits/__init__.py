"""Limits and the ledger."""
