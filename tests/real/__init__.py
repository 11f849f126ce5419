"""The real gateway, seen from outside."""
