"""Single parts, each on its own."""
