"""OpenAI's API as vLLM serves it: its own request classes, serving classes and answers, over the gateway's engine.

Bound to vLLM 0.32; `tests/engine/test_vllm_internals.py` says what moved when vLLM moves. The serving classes read the
body, render the prompt and write the answer. Where they would give a prompt to vLLM's engine they meet `_Client`, which
gives it to the `Completion` of the request instead: there it is admitted, counted and cancelled like any other.
"""

from __future__ import annotations

import difflib
import re
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.protocol import CompletionRequest, CompletionResponse
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.renderers.hf import HfRenderer
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.tokenizers.hf import get_cached_tokenizer

from gateway.errors import GatewayError, InternalError, InvalidRequestError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from vllm.inputs.engine import TokensInput
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    from gateway.engine import OpenAIRequest
    from gateway.engines.vllm.prompts import PromptEncoder

# Fields of vLLM's that steer the engine or other callers' requests: they are the gateway's to set.
_OURS = ("request_id", "cache_salt", "priority", "session_id", "kv_transfer_params", "ec_transfer_params")


# Fields of OpenAI's that ask for nothing that an answer would have to show.
_HINTS = {
    "metadata",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
}
# Fields that ask for what is not served.
_NOT_SERVED = {"audio", "best_of", "function_call", "functions", "use_beam_search", "web_search_options"}

# vLLM ends a message with what was refused, which may be anything that the caller wrote.
_VALUE = re.compile(r" \((?:parameter=[^()]*)?(?:, )?(?:value=.*)?\)$", re.DOTALL)
# In pydantic's locations the names of types stand among those of fields.
_FIELD = re.compile(r"(?!(?:str|int|float|bool|list|dict|function)\b)[a-z_]+")


class Meter(Protocol):
    """What a request's prompts are given to in place of vLLM's engine."""

    def generate(
        self, prompt: TokensInput, params: SamplingParams, options: dict[str, Any]
    ) -> AsyncIterator[RequestOutput]:
        """The outputs of one of them."""
        ...


current: ContextVar[Meter] = ContextVar("meter")


class OpenAIServing:
    """VLLM's chat completions and completions for one engine. Used in its event loop.

    Args:
        llm: vLLM's client.
        names: what requests may call the model; answers show the first.
        encoder: keeps control tokens out of what callers write.
        flags: of `arguments.SERVING`, those that the operator set.
    """

    def __init__(self, llm: AsyncLLM, names: Sequence[str], encoder: PromptEncoder, flags: Mapping[str, Any]) -> None:
        self._model_path = llm.model_config.model
        self._model_name = names[0]
        client: Any = _Client(llm)
        models = OpenAIServingModels(client, [BaseModelPath(name, names[0]) for name in names])
        shared: dict[str, Any] = {
            "request_logger": None,
            "chat_template": encoder.template,
            "chat_template_content_format": flags.get("chat_template_content_format", "auto"),
            "default_chat_template_kwargs": flags.get("default_chat_template_kwargs"),
            "enable_auto_tools": flags.get("enable_auto_tool_choice", False),
            "exclude_tools_when_tool_choice_none": flags.get("exclude_tools_when_tool_choice_none", False),
            "tool_parser": flags.get("tool_call_parser"),
            "reasoning_parser": llm.vllm_config.structured_outputs_config.reasoning_parser,
        }
        shown = ("enable_prompt_tokens_details", "enable_force_include_usage", "return_tokens_as_token_ids")
        written = {name: flags[name] for name in shown if name in flags}
        chats = OnlineRenderer(
            model_config=llm.model_config,
            renderer=HfRenderer(llm.vllm_config, get_cached_tokenizer(encoder.tokenizer)),
            **shared,
        )
        chats.warmup()
        texts = OnlineRenderer(model_config=llm.model_config, renderer=llm.renderer, **shared)
        self._chat = OpenAIServingChat(client, models, "assistant", online_renderer=chats, **shared, **written)
        self._completion = OpenAIServingCompletion(
            client, models, online_renderer=texts, request_logger=None, **written
        )

    async def answer(self, request: OpenAIRequest) -> AsyncGenerator[str, None] | str:
        """Serve a request to its end, or until it streams.

        Returns:
            The answer as JSON, or server-sent events as vLLM writes them.

        Raises:
            GatewayError: the body is at fault, or the model cannot do what it asks for.
        """
        kind = ChatCompletionRequest if request.operation == "chat.completions" else CompletionRequest
        body = _known(request.body, kind) | {"request_id": request.request_id}
        try:
            if request.operation == "chat.completions":
                answer = await self._chat.create_chat_completion(ChatCompletionRequest.model_validate(body))
            else:
                answer = await self._completion.create_completion(CompletionRequest.model_validate(body))
        except ValidationError as error:
            raise _invalid(error) from None
        except GatewayError:
            raise
        except Exception as error:
            found = self._told(create_error_response(error))
            if isinstance(found, InternalError):
                raise
            raise found from error
        if isinstance(answer, ErrorResponse):
            raise self._told(answer)
        if isinstance(answer, ChatCompletionResponse | CompletionResponse):
            whole: str = answer.model_dump_json()
            return whole
        events: AsyncGenerator[str, None] = answer
        return events

    def _told(self, response: ErrorResponse) -> GatewayError:
        """VLLM's error answer as an exception; what the model cannot do is the request's fault."""
        fault = response.error
        words = _VALUE.sub("", fault.message.partition("\n")[0]).rstrip(". ,")
        message = words.replace(self._model_path, self._model_name) + "."
        subject = words.partition(" ")[0].partition("=")[0]
        param = fault.param or (subject if subject in ChatCompletionRequest.model_fields else None)
        match HTTPStatus(fault.code):
            case HTTPStatus.NOT_FOUND:
                return NotFoundError(message, param=param)
            case HTTPStatus.SERVICE_UNAVAILABLE:
                return UnavailableError(message, retry_after=2)
            case status if status < HTTPStatus.INTERNAL_SERVER_ERROR or status is HTTPStatus.NOT_IMPLEMENTED:
                return InvalidRequestError(message, param=param)
            case _:
                return InternalError(fault.type)


class _Client:
    """VLLM's client, but for `generate`: that is the current request's meter's."""

    def __init__(self, llm: AsyncLLM) -> None:
        self._llm = llm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def generate(
        self, prompt: TokensInput, sampling_params: SamplingParams, request_id: str, **options: Any
    ) -> AsyncIterator[RequestOutput]:
        del request_id  # the meter numbers its runs itself
        # The caller's priority, rank and session are not the caller's to choose.
        kept = ("lora_request", "reasoning_ended", "reasoning_parser_kwargs")
        return current.get().generate(
            prompt, sampling_params, {name: options[name] for name in kept if options.get(name) is not None}
        )


def _known(body: dict[str, Any], kind: type[ChatCompletionRequest | CompletionRequest]) -> dict[str, Any]:
    """The fields that vLLM is to read. One that nobody knows is refused by name, as OpenAI does; vLLM ignores it."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in given.keys() - kind.model_fields.keys() - _HINTS - {"modalities"} - _NOT_SERVED:
        close = difflib.get_close_matches(name, kind.model_fields, n=1)
        hint = f"Did you mean `{close[0]}`?" if close else "Leave it out."
        shown = "".join(character if character.isprintable() else "?" for character in name[:64])
        raise InvalidRequestError(f"Field `{shown}` is not known. {hint}", param=shown)
    for name in given.keys() & _NOT_SERVED:
        if given[name]:
            raise InvalidRequestError(f"Field `{name}` is not served here. Leave it out.", param=name)
    if given.get("modalities", ["text"]) != ["text"]:
        raise InvalidRequestError('Field `modalities` should be ["text"]: the model writes text.', param="modalities")
    return {name: given[name] for name in given if name in kind.model_fields and name not in _OURS}


def _invalid(error: ValidationError) -> InvalidRequestError:
    """The first fault that pydantic found, without the value that it found it in."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Where a field may have several forms there is a fault for each; the one that is not about the form says most.
    fault = next((one for one in faults if not one["type"].endswith("_type")), faults[0])
    field = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or _FIELD.fullmatch(part))
    words = fault["msg"].removeprefix("Value error, ").partition("\n")[0].rstrip(". ")
    return InvalidRequestError(f"Field `{field}`: {words}." if field else f"{words}.", param=field or None)
