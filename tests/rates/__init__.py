"""Call rates, wherever they are counted."""
