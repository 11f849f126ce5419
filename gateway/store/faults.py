"""What a database can do wrong, translated in one place into what the rest of the gateway knows."""

from __future__ import annotations

from sqlalchemy import exc

from gateway.errors import InternalError, UnavailableError

RETRY_AFTER = 2.0
"""Seconds until it is worth trying again after the database failed."""

# The rest of SQLAlchemy's errors are bugs of ours: a wrong statement, a wrong value, a misused connection.
_PASSING = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.DisconnectionError)


class StoreError(Exception):
    """The store cannot be opened until the operator changes something; the text says what."""


class ConstraintError(Exception):
    """A write collides with what is stored: an id or a key that is taken, a product that does not exist."""


def translate(error: Exception) -> Exception:
    """What to raise instead of `error`, which came from SQLAlchemy or from the database's driver.

    A class of the driver's own comes up where SQLAlchemy does not wrap it, in the set-up of a connection.
    """
    if isinstance(error, exc.IntegrityError):
        return ConstraintError(_describe(error))
    passing = isinstance(error, _PASSING) or not isinstance(error, exc.SQLAlchemyError)
    # SQLite says "not a database" and "malformed" with the bare class; a lost connection may have any class.
    passing = passing or type(error) is exc.DatabaseError
    passing = passing or (isinstance(error, exc.DBAPIError) and error.connection_invalidated)
    if passing:
        return unavailable(_describe(error))
    return InternalError(_describe(error))


def unavailable(detail: str) -> UnavailableError:
    """The error for a store that cannot be reached; `detail` goes to the log."""
    return UnavailableError(
        f"The key store cannot be reached. Try again in {RETRY_AFTER:.0f} seconds.",
        detail=detail,
        retry_after=RETRY_AFTER,
    )


def _describe(error: Exception) -> str:
    # The driver's own words only: SQLAlchemy's text adds the statement, which says nothing about the fault.
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {cause}".strip()
