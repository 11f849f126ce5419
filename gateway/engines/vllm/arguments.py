"""From the operator's words to vLLM's: `GATEWAY_ENGINE_ARGS` is parsed by vLLM's own parser."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.argparse_utils import FlexibleArgumentParser

if TYPE_CHECKING:
    from collections.abc import Sequence


# The flags of `vllm serve` that are not its engine's, and that mean something here.
SERVING = (
    "chat_template",
    "chat_template_content_format",
    "default_chat_template_kwargs",
    "enable_auto_tool_choice",
    "tool_call_parser",
    "exclude_tools_when_tool_choice_none",
    "enable_prompt_tokens_details",
    "enable_force_include_usage",
    "return_tokens_as_token_ids",
)


class EngineArgumentsError(Exception):
    """vLLM does not take these flags; the text is its parser's."""


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]  # vLLM's types are not read
    def error(self, message: str) -> NoReturn:
        """Where argparse would print and exit."""
        raise EngineArgumentsError(message)


def parse(model: str, flags: Sequence[str]) -> tuple[AsyncEngineArgs, dict[str, Any]]:
    """What a model and the flags of `vllm serve` mean; a later flag wins over an earlier one.

    Returns:
        VLLM's engine arguments, and those of `SERVING` that the flags set.

    Raises:
        EngineArgumentsError: a flag or its value is unknown.
    """
    parser = AsyncEngineArgs.add_cli_args(_Parser(add_help=False))
    try:
        found, others = parser.parse_known_args(["--model", model, *flags])
        serving = _parse_serving(others) if others else {}
    except SystemExit as error:  # a flag of argparse's own kind, such as --version
        raise EngineArgumentsError("a flag asks for something else than an engine") from error
    return AsyncEngineArgs.from_cli_args(found), serving


def _parse_serving(flags: Sequence[str]) -> dict[str, Any]:
    # Imported where it is needed: it takes seconds, and most operators set none of these.
    from vllm.engine.arg_utils import get_kwargs  # noqa: PLC0415
    from vllm.entrypoints.launchers.cli_args import BaseFrontendArgs  # noqa: PLC0415
    from vllm.renderers.chat_utils import load_chat_template  # noqa: PLC0415

    known = BaseFrontendArgs._customize_cli_kwargs(get_kwargs(BaseFrontendArgs))  # noqa: SLF001
    parser = _Parser(add_help=False, argument_default=SUPPRESS)
    for name in SERVING:
        parser.add_argument(f"--{name.replace('_', '-')}", **{**known[name], "default": SUPPRESS})
    found: dict[str, Any] = vars(parser.parse_args(flags))
    if "chat_template" in found:
        found["chat_template"] = load_chat_template(found["chat_template"])
    return found
