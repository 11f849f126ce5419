"""The product: keys, limits, engines. Knows no HTTP."""
