"""From the operator's words to vLLM's: `GATEWAY_ENGINE_ARGS` is parsed by vLLM's own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.argparse_utils import FlexibleArgumentParser

if TYPE_CHECKING:
    from collections.abc import Sequence


class EngineArgumentsError(Exception):
    """vLLM does not take these flags; the text is its parser's."""


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]  # vLLM's types are not read
    def error(self, message: str) -> NoReturn:
        """Where argparse would print and exit."""
        raise EngineArgumentsError(message)


def parse(model: str, flags: Sequence[str]) -> AsyncEngineArgs:
    """VLLM's engine arguments for a model and the flags of `vllm serve`; a later flag wins over an earlier one.

    Raises:
        EngineArgumentsError: a flag or its value is unknown.
    """
    parser = AsyncEngineArgs.add_cli_args(_Parser(add_help=False))
    try:
        found = parser.parse_args(["--model", model, *flags])
    except SystemExit as error:  # a flag of argparse's own kind, such as --version
        raise EngineArgumentsError("a flag asks for something else than an engine") from error
    return AsyncEngineArgs.from_cli_args(found)
