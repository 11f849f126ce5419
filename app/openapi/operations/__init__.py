"""What each view says of itself to callers."""
