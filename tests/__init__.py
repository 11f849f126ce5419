"""By kind: units, HTTP through the app, the engine, real clients against the real server."""
