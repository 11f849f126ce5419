"""Lists in pages: `$top` and `$skip` in the query, `value`, `count` and `nextLink` in the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from flask import jsonify, request

from gateway.errors import InvalidRequestError
from gateway.names import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Response

DEFAULT_TOP = 100
LARGEST_TOP = 1000
LARGEST_SKIP = 2**31 - 1
_DIGITS = re.compile(r"[0-9]{1,10}")


class Page(NamedTuple):
    """The part of a list that is asked for: at most `top` items, after the first `skip`."""

    top: int
    skip: int


def wanted_page() -> Page:
    """The page that the current request asks for.

    Raises:
        InvalidRequestError: `$top` or `$skip` is no number in its range, or there is another OData parameter:
            a `$filter` that is passed over would give an answer to another question.
    """
    for name in request.args:
        if name.startswith("$") and name not in {"$top", "$skip"}:
            raise InvalidRequestError(
                f"Query parameter {quoted(name)} is not known. Known ones are: $top, $skip.", param=shown(name)
            )
    return Page(_number("$top", 1, LARGEST_TOP, DEFAULT_TOP), _number("$skip", 0, LARGEST_SKIP, 0))


def listed(value: Sequence[dict[str, object]], total: int, page: Page) -> Response:
    """The answer with a page of a list of `total` items; `nextLink` is there where more follow."""
    document: dict[str, object] = {"value": value, "count": total}
    following = page.skip + len(value)
    if value and following < total:
        query = urlencode({"$top": page.top, "$skip": following}, safe="$")
        document["nextLink"] = f"{request.base_url}?{query}"
    return jsonify(document)


def _number(name: str, smallest: int, largest: int, default: int) -> int:
    given = request.args.getlist(name)
    if not given:
        return default
    number = int(given[0]) if len(given) == 1 and _DIGITS.fullmatch(given[0]) else -1
    if not smallest <= number <= largest:
        raise InvalidRequestError(
            f"Query parameter `{name}` should be one whole number from {smallest} to {largest}.", param=name
        )
    return number
