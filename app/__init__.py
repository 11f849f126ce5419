"""HTTP, and nothing but HTTP: from requests to calls of `gateway`, and back. `app.factory` puts it together.

Importing the package itself imports nothing: the server knows `app.contract`, and starts the engine before all else.
"""
