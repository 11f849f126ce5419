"""From a conversation to ids, so that nothing a caller writes becomes a control token.

A chat template joins the caller's text with control tokens such as `</s>` into one string, and a tokenizer then
finds control tokens in it by their spelling, also where the caller wrote that spelling. So this module keeps a
second copy of the tokenizer in which every control token has another, unguessable spelling, and gives the template
those spellings. Ids of ordinary prompts stay what `tokenizer.apply_chat_template` gives; `</s>` in a prompt is
five characters of text.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from gateway.engine import Message

LLAMA2_TEMPLATE = (Path(__file__).parent / "llama2.jinja").read_text()


class PromptEncoder:
    """Conversations to ids, for one tokenizer.

    Args:
        tokenizer: the model's own, as transformers loads it.
        chat_template: one to use in place of the tokenizer's; without either, Llama 2's.

    Attributes:
        tokenizer: a copy of the model's, in which control tokens have other spellings.
        template: the chat template, with those spellings.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None) -> None:
        template = chat_template or tokenizer.chat_template or LLAMA2_TEMPLATE
        if isinstance(template, dict):  # several templates by name; transformers' own default name
            template = template["default"]
        self._aliases = {token: f"\ue000{secrets.token_hex(8)}\ue001" for token in _control_tokens(tokenizer)}
        self.tokenizer = _with_aliases(tokenizer, self._aliases)
        self.template = _replace_all(template, self._aliases)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation, ending where the model is to go on.

        Raises:
            InvalidRequestError: the template refuses it, for instance because roles do not alternate.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                turns, chat_template=self.template, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise InvalidRequestError(
                "The model's chat template does not take this conversation: "
                "check that roles alternate and start with the user.",
                detail=type(error).__name__,
            ) from error
        return ids_of(self.tokenizer, text)


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """All ids of a text, from any number of threads at a time.

    Not through transformers' wrapper: that one sets truncation on the tokenizer, which all share.
    """
    return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The spellings that the tokenizer would turn into a single id wherever they stand, longest first."""
    return sorted({str(token) for token in tokenizer.added_tokens_decoder.values()}, key=len, reverse=True)


def _with_aliases(tokenizer: PreTrainedTokenizerBase, aliases: dict[str, str]) -> PreTrainedTokenizerFast:
    """A copy of the tokenizer in which control tokens have another spelling and the same ids."""
    description: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in description["added_tokens"]:
        token["content"] = aliases.get(token["content"], token["content"])
    model = description["model"]
    if isinstance(model.get("vocab"), dict):
        model["vocab"] = {aliases.get(piece, piece): number for piece, number in model["vocab"].items()}
    elif isinstance(model.get("vocab"), list):  # Unigram: pairs of piece and score
        model["vocab"] = [[aliases.get(piece, piece), score] for piece, score in model["vocab"]]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = aliases.get(model["unk_token"], model["unk_token"])
    description["post_processor"] = None  # it would add control tokens; the template has them already
    named = {
        name: aliases.get(token, token)
        for name, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str)
    }
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(description)), **named)


def _replace_all(text: str, aliases: dict[str, str]) -> str:
    for token, alias in aliases.items():
        text = text.replace(token, alias)
    return text
