"""What a caller sees, through the real app over a scripted engine."""
