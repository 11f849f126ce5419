"""Whole client programs in five languages, and the tests that run them."""
