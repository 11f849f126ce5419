"""The key store: one relational database with products, subscriptions and the hashes of their keys.

`open_store` is the way in; it brings the schema up to date. `Store.reading` and `Store.writing` are the only
places where statements run, so every database fault is translated there, and nowhere else.
"""

from gateway.store.faults import ConstraintError, StoreError
from gateway.store.store import Store, connect_store, open_store

__all__ = ["ConstraintError", "Store", "StoreError", "connect_store", "open_store"]
