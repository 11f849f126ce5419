"""What vLLM refuses, in this API's words: with the field that is at fault, and without what the caller wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest

from gateway.errors import InvalidRequestError
from gateway.json_schema import KEYWORDS

if TYPE_CHECKING:
    from pydantic import ValidationError

    from gateway.engine import OpenAIRequest

_FIELDS = ChatCompletionRequest.model_fields.keys() | CompletionRequest.model_fields.keys()
# Words of English as well: they are a field's name only where a message puts them into quotes or begins with them.
_QUOTED = re.compile(r"`(\w+)`")
_WORD = re.compile(r"\w+")

# vLLM ends a message with what was refused, which may be anything that the caller wrote.
_VALUE = re.compile(r" \((?:parameter=[^()]*)?(?:, )?(?:value=.*)?\)$", re.DOTALL)
# In pydantic's locations the names of types stand among those of fields.
_LOCATION = re.compile(r"(?!(?:str|int|float|bool|list|dict|function)\b)[a-z_]+")

# Messages of vLLM's that name no field, and what they are about: an attribute of `Names`, or a field. Some are meant
# for whoever runs the server; a caller is told what follows instead.
_ABOUT: tuple[tuple[re.Pattern[str], str, str | None], ...] = (
    (re.compile(r"enable-prompt-embeds"), "prompt_embeds", "is not served here. Leave it out"),
    (re.compile(r"Per-request mm_processor"), "mm_processor_kwargs", "is the operator's to set. Leave it out"),
    (re.compile(r"Per-request media_io"), "media_io_kwargs", "is the operator's to set. Leave it out"),
    (
        re.compile(r"multimodal (?:model|input)|not multimodal"),
        "prompt",
        "has parts that the model cannot read. Send text",
    ),
    (re.compile(r"prompt cannot be empty"), "prompt", "leaves the model nothing to read. Send some text"),
    (re.compile(r"multiple are specified"), "constraint", "asks for several forms of an answer. Ask for one"),
    (re.compile(r"thinking_token_budget"), "thinking_token_budget", "is for models that reason. Leave it out"),
    *(
        (
            re.compile(rf"\b{field}\b.*greater than max_model_len"),
            field,
            "is more than the context holds. Ask for fewer",
        )
        for field in ("truncate_prompt_tokens", "max_completion_tokens", "max_tokens")
    ),
    (re.compile(r"maximum context length|empty conversation|Token id|at least one prompt"), "prompt", None),
    (re.compile(r"prompt logprobs"), "prompt_logprobs", None),
    (re.compile(r"sample logprobs"), "logprobs", None),
    (re.compile(r"[Ss]tructured outputs?\b"), "constraint", None),
    (re.compile(r"^Chat template is passed"), "chat_template", "is the operator's to set. Leave it out"),
    (re.compile(r"^suffix is only"), "suffix", "is for models that fill a gap, and this one does not. Leave it out"),
)


# What is left for an answer, where the caller has not asked for none: what vLLM says of it names a field that may be
# right, or not be there.
_NO_ROOM = re.compile(r"max_(?:completion_)?tokens must be at least 1, got 0")


@dataclass(frozen=True, slots=True)
class Names:
    """What an operation calls the things that vLLM's engine may refuse.

    Attributes:
        prompt: what the model reads.
        constraint: the field that asks for a form of the answer.
        logprobs: how many alternatives are to be shown.
        none: whether it asks for no id at all.
    """

    prompt: str = "prompt"
    constraint: str = "response_format"
    logprobs: str = "logprobs"
    none: bool = False

    @classmethod
    def of(cls, request: OpenAIRequest) -> Names:
        """Those of a request of OpenAI's."""
        given = (name for name in ("structured_outputs", "response_format", "tools") if request.body.get(name))
        constraint = next(given, "response_format")
        none = 0 in (request.body.get("max_tokens"), request.body.get("max_completion_tokens"))
        if request.operation == "chat.completions":
            return cls("messages", constraint, "top_logprobs", none=none)
        return cls("prompt", constraint, none=none)


GET_DATA = Names()


def refused(error: Exception, names: Names = GET_DATA, *, structured: bool) -> InvalidRequestError:
    """What vLLM's engine refuses.

    Args:
        error: its own.
        names: what the operation calls its fields.
        structured: whether the answer is to have a form; such a form is what is refused most.
    """
    words = plain(str(error.args[0] if error.args else error))
    field = _field_in(words, names)
    if structured and field in {None, names.constraint}:
        return unfit(names.constraint, words)
    return about(field or getattr(error, "parameter", None), words, names)


def told(error: Exception | None, words: str, param: str | None, names: Names) -> InvalidRequestError:
    """What vLLM's serving classes refuse.

    Args:
        error: what they raised, where they did.
        words: what they would tell the caller.
        param: the field that they name themselves.
        names: what the operation calls its fields.
    """
    if isinstance(error, TemplateError) or isinstance(getattr(error, "__cause__", None), TemplateError):
        return InvalidRequestError(
            f"Field `{names.prompt}` is a conversation that the model's chat template does not take: {words}.",
            param=names.prompt,
        )
    return about(param if param in _FIELDS else _field_in(words, names) or param, words, names)


def about(field: str | None, words: str, names: Names = GET_DATA) -> InvalidRequestError:
    """A refusal that names its field."""
    if (error := _in_our_words(words, names)) is not None:
        return error
    if field is None or field in _WORD.findall(words):
        return InvalidRequestError(f"{words}.", param=field)
    return InvalidRequestError(f"Field `{field}`: {words}.", param=field)


def _in_our_words(words: str, names: Names) -> InvalidRequestError | None:
    for pattern, found, ours in _ABOUT:
        if ours is not None and pattern.search(words):
            field = str(getattr(names, found, found))
            return InvalidRequestError(f"Field `{field}` {ours}.", param=field)
    if not names.none and _NO_ROOM.search(words):
        field = names.prompt
        return InvalidRequestError(
            f"Field `{field}` fills the model's context, which has to hold the answer as well. Shorten it.", param=field
        )
    return None


def plain(message: str) -> str:
    """A message of vLLM's without the value that it ends with."""
    return _VALUE.sub("", message.partition("\n")[0]).rstrip(". ,!")


def invalid(error: ValidationError, names: Names) -> InvalidRequestError:
    """The first fault that pydantic found, without the value that it found it in."""
    faults: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    # Where a field may have several forms there is a fault for each; the one that is not about the form says most.
    fault = next((one for one in faults if not one["type"].endswith("_type")), faults[0])
    path = [str(part) for part in fault["loc"] if isinstance(part, int) or _LOCATION.fullmatch(part)]
    if path and path[0].isdecimal():  # a part of a message, which vLLM validates by itself
        path = [names.prompt, *path]
    words = plain(fault["msg"].removeprefix("Value error, "))
    if (ours := _in_our_words(words, names)) is not None:
        return ours
    field = ".".join(path)
    return InvalidRequestError(f"Field `{field}`: {words}." if field else f"{words}.", param=field or None)


def _field_in(words: str, names: Names) -> str | None:
    """The field that a message is about."""
    for pattern, found, _ in _ABOUT:
        if pattern.search(words):
            return str(getattr(names, found, found))
    first = _WORD.match(words)
    candidates = [*_QUOTED.findall(words), *([first[0]] if first else [])]
    candidates += [word for word in _WORD.findall(words) if "_" in word]
    return next((word for word in candidates if word in _FIELDS), None)


def unfit(field: str, words: str = "") -> InvalidRequestError:
    """A form that no grammar can be made of. What makes grammars quotes the form, so its words are not passed on.

    Args:
        field: the one that asks for it.
        words: what makes grammars said, if it did.
    """
    keywords = sorted({word for word in re.findall(r"[$\w]+", words) if word in KEYWORDS - {"const", "format", "not"}})
    hint = f" It may be `{'`, `'.join(keywords)}`." if keywords else ""
    return InvalidRequestError(
        f"Field `{field}` asks for a form that the model cannot be held to: it is faulty, or not supported.{hint} "
        "Check it, or ask for a simpler one.",
        param=field,
    )
