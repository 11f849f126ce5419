"""Why vLLM takes no such model or flags, in the form of all faults of the settings: one line for each."""

from __future__ import annotations

from pydantic import ValidationError


def config_faults(variables: str, error: Exception) -> list[str]:
    """A line for each fault, with its cause.

    Args:
        variables: those that it came from.
        error: vLLM's.
    """
    return [f"{variables}: {' '.join(cause.split())}" for cause in _causes(error)]


def _causes(error: Exception) -> list[str]:
    if not isinstance(error, ValidationError):
        return [str(error)]
    # Its own text begins with how many there are, and repeats what each field was given, whatever that is.
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [_cause(".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in found]


def _cause(field: str, text: str) -> str:
    return f"{field}: {text}" if field else text
