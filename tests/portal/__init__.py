"""The developer portal: its pages, its samples, and all of it in a real browser on the real gateway."""
