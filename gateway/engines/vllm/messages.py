"""The messages of a conversation as OpenAI's API has them. vLLM validates parts of them late, and names no place."""

from __future__ import annotations

from typing import Any, NoReturn

from vllm.renderers.chat_utils import MM_PARSER_MAP

from gateway.errors import InvalidRequestError

_ROLES = ("developer", "system", "user", "assistant", "tool", "function")
# What a template spells out as well, and is no role.
_KEYS = ("", "role", "content", "name", "type", "text")
# What stands in place of an assistant's content.
_INSTEAD = ("tool_calls", "function_call", "refusal", "audio", "reasoning", "reasoning_content")
# For programs around vLLM, or without a meaning here: a model that knows no such part would not see it.
_NOT_SERVED = {"image_pil", "prompt_embeds", "tool_reference"}
# Kinds of parts, and the field that has their text.
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "thinking": "thinking", "refusal": "refusal"}
_OBJECTS = ("image_url", "audio_url", "video_url", "input_audio")
_PARTS = MM_PARSER_MAP.keys() - _NOT_SERVED


def check_messages(messages: list[Any], template: str) -> None:
    """Look at each message.

    Args:
        messages: of a body.
        template: the model's chat template; a role that is spelled out in it is known.

    Raises:
        InvalidRequestError: the first field at fault.
    """
    if not messages:
        _refuse("messages", "a list of at least one message")
    for number, message in enumerate(messages):
        field = f"messages.{number}"
        if not isinstance(message, dict):
            _refuse(field, 'an object such as {"role": "user", "content": "Tell me about llama2"}')
        _check_role(f"{field}.role", message.get("role"), template)
        if not isinstance(message.get("name"), str | None):
            _refuse(f"{field}.name", "a string")
        _check_calls(f"{field}.tool_calls", message.get("tool_calls"))
        if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
            _refuse(f"{field}.tool_call_id", "the id of the call that the message answers")
        _check_content(f"{field}.content", message)


def _refuse(field: str, words: str) -> NoReturn:
    raise InvalidRequestError(f"Field `{field}` should be {words}.", param=field)


def _check_role(field: str, role: object, template: str) -> None:
    spelled = isinstance(role, str) and role not in _KEYS and (f"'{role}'" in template or f'"{role}"' in template)
    if role not in _ROLES and not spelled:
        _refuse(field, f"one of {', '.join(_ROLES)}")


def _check_content(field: str, message: dict[str, Any]) -> None:
    role, content = message["role"], message.get("content")
    if content is None:
        if role != "function" and not (role == "assistant" and any(message.get(name) for name in _INSTEAD)):
            _refuse(field, "a string or a list of parts")
    elif isinstance(content, list):
        if not content:
            _refuse(field, "a string, or a list of at least one part")
        for number, part in enumerate(content):
            _check_part(f"{field}.{number}", part, role)
    elif not isinstance(content, str):
        _refuse(field, "a string or a list of parts")


def _check_part(field: str, part: object, role: str) -> None:
    if not isinstance(part, dict):
        _refuse(field, 'an object such as {"type": "text", "text": "Tell me about llama2"}')
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _PARTS or (kind == "refusal" and role != "assistant"):
        _refuse(f"{field}.type", "a kind of part that this role and model have, such as `text`")
    if kind in _TEXTS and not isinstance(part.get(_TEXTS[kind]), str):
        _refuse(f"{field}.{_TEXTS[kind]}", "a string")
    if kind in _OBJECTS and not isinstance(part.get(kind), dict):
        _refuse(f"{field}.{kind}", "an object")


def _check_calls(field: str, calls: object) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        _refuse(field, "a list of calls")
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            _refuse(f"{field}.{number}", "an object with an `id`, a `type` and a `function`")
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            _refuse(f"{field}.{number}.function", "an object with a `name` and `arguments`, both strings")
