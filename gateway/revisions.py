"""Changes that say what they were made from, so that of two writers none undoes the other's work unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import PreconditionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    Condition = Callable[[int | None], bool]
    """Whether a change may be made to a thing of this revision; None is a thing that is not there."""


def unconditionally(_: int | None) -> bool:
    """A condition that always holds."""
    return True


def require(condition: Condition, revision: int | None, what: str) -> None:
    """Raises PreconditionFailedError unless the condition holds for the revision that `what` has now.

    To be called inside the transaction that makes the change, with the row locked.
    """
    if condition(revision):
        return
    if revision is None:
        raise PreconditionFailedError(f"There is no {what}, and the request's condition asks for one.")
    raise PreconditionFailedError(
        f"The {what} is not as the request's condition asks: it was changed or made in between. "
        "Read it again, and repeat the change on what it is now."
    )
