"""OpenAI's API as vLLM serves it: its own request classes, serving classes and answers, over the gateway's engine.

Bound to vLLM 0.32; `tests/engine/test_vllm_internals.py` says what moved when vLLM moves. The serving classes read the
body, render the prompt and write the answer. Where they would give a prompt to vLLM's engine they meet `_Client`, which
gives it to the `Completion` of the request instead: there it is admitted, counted and cancelled like any other.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.protocol import CompletionResponse
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.renderers.chat_utils import has_non_text_content
from vllm.renderers.hf import HfRenderer
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.tokenizers.hf import get_cached_tokenizer

from gateway.engine import LONG_PROMPT
from gateway.engines.vllm import refusals
from gateway.engines.vllm.body import kind_of
from gateway.engines.vllm.chunks import passes_text_on
from gateway.engines.vllm.prompts import ids_of
from gateway.engines.vllm.refusals import Names
from gateway.errors import GatewayError, InternalError, NotFoundError, UnavailableError
from gateway.turn import turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from vllm.config import VllmConfig
    from vllm.inputs import TextPrompt, TokensPrompt
    from vllm.inputs.engine import TokensInput
    from vllm.outputs import RequestOutput
    from vllm.renderers.params import TokenizeParams
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

    from gateway.engine import OpenAIRequest
    from gateway.engines.vllm.prompts import PromptEncoder


class Meter(Protocol):
    """What a request's prompts are given to in place of vLLM's engine."""

    def generate(
        self, prompt: TokensInput, params: SamplingParams, options: dict[str, Any]
    ) -> AsyncIterator[RequestOutput]:
        """The outputs of one of them."""
        ...


current: ContextVar[Meter] = ContextVar("meter")

# What a request may ask for that takes a copy of the tokenizer of its own.
_NEEDS_A_COPY = ("truncate_prompt_tokens", "return_token_offsets")


class OpenAIServing:
    """VLLM's chat completions and completions for one engine. Made, and but for `answer` used, in its event loop.

    Args:
        llm: vLLM's client.
        names: what requests may call the model; answers show the first.
        encoder: keeps control tokens out of what callers write.
        flags: of `arguments.SERVING`, those that the operator set.

    Attributes:
        writes_plainly: whether a chunk says no more than a text where the request asks for no more: the operator may
            want a usage in each, or thoughts apart.
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
            renderer=_Renderer(llm.vllm_config, get_cached_tokenizer(encoder.tokenizer)),
            **shared,
        )
        chats.warmup()
        texts = OnlineRenderer(model_config=llm.model_config, renderer=llm.renderer, **shared)
        self._chat = OpenAIServingChat(client, models, "assistant", online_renderer=chats, **shared, **written)
        self.writes_plainly = passes_text_on(self._chat.parser_cls) and not written.get("enable_force_include_usage")
        self._completion = OpenAIServingCompletion(
            client, models, online_renderer=texts, request_logger=None, **written
        )
        # Counted over what the event loop changes.
        self._bounds_queue = llm.vllm_config.scheduler_config.max_num_queued_tokens is not None

    def needs_no_wait(self, request: OpenAIRequest) -> bool:
        """Whether `answer` may be begun in a request's thread: before there are outputs it waits for nothing.

        Pictures, say, are fetched, and of several prompts the outputs are merged in an event loop.
        """
        body = request.body
        return (
            request.operation == "chat.completions"
            and not has_non_text_content(body.get("messages"))
            and not any(body.get(field) for field in _NEEDS_A_COPY)
            and not self._bounds_queue
        )

    async def answer(self, request: OpenAIRequest) -> AsyncGenerator[str, None] | str:
        """Serve a request, whose body is `body.checked`, to its end or until it streams. See `needs_no_wait`.

        Returns:
            The answer as JSON, or server-sent events as vLLM writes them.

        Raises:
            GatewayError: the body is at fault, or the model cannot do what it asks for.
        """
        names = Names.of(request)
        try:
            asked = kind_of(request).model_validate(request.body | {"request_id": request.request_id})
            if isinstance(asked, ChatCompletionRequest):
                answer = await self._chat.create_chat_completion(asked)
            else:
                answer = await self._completion.create_completion(asked)
        except ValidationError as error:
            raise refusals.invalid(error, names) from None
        except GatewayError:
            raise
        except Exception as error:
            found = self._told(create_error_response(error), error, names)
            if isinstance(found, InternalError):
                raise
            raise found from error
        if isinstance(answer, ErrorResponse):
            raise self._told(answer, None, names)
        if isinstance(answer, ChatCompletionResponse | CompletionResponse):
            whole: str = answer.model_dump_json()
            return whole
        events: AsyncGenerator[str, None] = answer
        return events

    def _told(self, response: ErrorResponse, error: Exception | None, names: Names) -> GatewayError:
        """VLLM's error answer as an exception; what the model cannot do is the request's fault."""
        fault = response.error
        words = refusals.plain(fault.message).replace(self._model_path, self._model_name)
        match HTTPStatus(fault.code):
            case HTTPStatus.NOT_FOUND:
                return NotFoundError(f"{words}.", param=fault.param)
            case HTTPStatus.SERVICE_UNAVAILABLE:
                return UnavailableError(f"{words}.", retry_after=2)
            case status if status < HTTPStatus.INTERNAL_SERVER_ERROR or status is HTTPStatus.NOT_IMPLEMENTED:
                return refusals.told(error, words, fault.param, names)
            case _:
                return InternalError(fault.type)


def in_event_loop() -> bool:
    """Whether this is called from an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Renderer(HfRenderer):  # type: ignore[misc]
    """VLLM's, but that it renders a conversation where it is asked to.

    In an event loop vLLM has its one thread for templates do it, and then another one for the tokenizer. A request has
    a thread of its own already: there a conversation is done in a third of the time, and long texts beside each other.
    """

    def __init__(self, config: VllmConfig, tokenizer: Any) -> None:
        super().__init__(config, tokenizer)
        # Whoever finds no copy of the tokenizer free makes one more, which can hold up all of Python for half a second.
        # VLLM makes two: this is one, the other is that of the renderer's thread.
        self._copy = threading.Lock()

    async def render_chat_async(self, *args: Any, **kwargs: Any) -> Any:
        if in_event_loop():
            return await super().render_chat_async(*args, **kwargs)
        return self.render_chat(*args, **kwargs)

    def render_messages(self, *args: Any, **kwargs: Any) -> Any:
        with self._copy:
            return super().render_messages(*args, **kwargs)

    def _tokenize_prompt(self, prompt: TextPrompt, params: TokenizeParams) -> TokensPrompt:
        if any(getattr(params, field) for field in _NEEDS_A_COPY):
            return super()._tokenize_prompt(prompt, params)
        with turn.away() if len(prompt["prompt"]) > LONG_PROMPT else nullcontext():
            ids = ids_of(self.tokenizer, prompt["prompt"], add_special_tokens=params.add_special_tokens)
        return self._build_tokens_prompt(ids, prompt)


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
