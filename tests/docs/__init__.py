"""What the documentation claims, held against the code."""
