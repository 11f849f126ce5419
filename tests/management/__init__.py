"""The management API, over the real app and a real key store."""
