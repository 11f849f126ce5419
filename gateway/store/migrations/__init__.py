"""Alembic's migrations, run by `gateway.store.schema`. Once released, one is never edited, only followed."""
