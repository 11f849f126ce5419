"""What a view says of itself to callers. `describe` ties it to the view, so that neither is there without the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from marshmallow import Schema

    View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE: Final = "openapi_operation"
_PAGE: Final = "is_page"


class UndescribedError(Exception):
    """A route has no description: its view lacks `describe`, and is no `page`."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The form of an answer as server-sent events.

    Attributes:
        description: which events there are, in their order.
        events: what the data of an event may be, `[DONE]` apart.
        error: the data of an event that tells a failure.
        example: a whole stream.
    """

    description: str
    events: Sequence[type[Schema]]
    error: type[Schema]
    example: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error.

    Attributes:
        description: when it comes.
        schema: its body; None where it has none.
        examples: whole bodies, by name.
        headers: names in `app.openapi.headers.HEADERS`, beside the trace id.
        stream: its other form, where it has one.
        text: an example of a body that is no JSON, by its media type.
    """

    description: str
    schema: type[Schema] | None = None
    examples: Mapping[str, object] = field(default_factory=dict)
    headers: Sequence[str] = ()
    stream: Stream | None = None
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a caller has to know of an operation, beside the view's docstring.

    Attributes:
        tag: the group that it is shown in.
        answers: by status.
        errors: the statuses that it may fail with.
        dialect: whose form its errors have, a key of `app.openapi.failures.DIALECTS`.
        security: the names of the schemes, any of which will do; none for a public operation.
        body: the request's.
        examples: request bodies, by name.
        parameters: of the query and of headers, in OpenAPI's form. Those of the path follow from the route.
        note: what else is worth knowing, in Markdown.
    """

    tag: str
    answers: Mapping[int, Answer]
    errors: Sequence[int]
    dialect: str = "gateway"
    security: Sequence[str] = ()
    body: type[Schema] | None = None
    examples: Mapping[str, object] = field(default_factory=dict)
    parameters: Sequence[Mapping[str, Any]] = ()
    note: str = ""


def describe(operation: Operation) -> Callable[[View], View]:
    """Says what a view does for callers. Stands below the route."""

    def remember(view: View) -> View:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return remember


def page(view: View) -> View:
    """Says that a view makes a page for people, or a part of one: it is no operation. Stands below the route."""
    setattr(view, _PAGE, True)
    return view


def is_page(view: Callable[..., Any]) -> bool:
    """Whether `page` stands below the view's route."""
    return getattr(view, _PAGE, False)


def operation_of(view: Callable[..., Any], endpoint: str) -> Operation:
    """What `describe` has tied to a view. Raises UndescribedError."""
    found = getattr(view, _ATTRIBUTE, None)
    if not isinstance(found, Operation):
        raise UndescribedError(f"The route `{endpoint}` has no description. Put @describe(…) below it, or @page.")
    return found
