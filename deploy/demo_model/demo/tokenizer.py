"""A byte-pair tokenizer in the manner of Llama 2, trained on the corpus.

Numbers are split into digits, and a character outside the alphabet falls back to its UTF-8 bytes. Unlike
Llama 2's it writes a space as a space and not as U+2581, and adds none at the start of a text: decoding gives
back exactly what was encoded, for any text, whole or piece by piece.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterable

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
SPECIAL = (UNK, BOS, EOS)
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
# The characters that get a token of their own. All others are bytes.
LETTERS = string.ascii_letters + "äöüßÄÖÜéèêàâçôîùûñáíóúãÉÀ"
ALPHABET = frozenset(LETTERS + string.digits + string.punctuation + "\n" + " ")
# A word with the space before it, one digit, or one mark: merges never cross these borders, so that no text
# can be merged into "</s>" or "<0x0A>".
PIECES = r" ?\p{L}+| ?\p{N}| ?[^\p{L}\p{N}\n]|\n"
CONTEXT = 2048

# Llama 2's dialogue format. The space before an answer belongs to the prompt, so that the generated text
# starts with the first letter of the answer.
CHAT_TEMPLATE = """\
{%- if messages and messages[0]['role'] == 'system' -%}
  {%- set system = '<<SYS>>\\n' + messages[0]['content'] | trim + '\\n<</SYS>>\\n\\n' -%}
  {%- set turns = messages[1:] -%}
{%- else -%}
  {%- set system = '' -%}
  {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('Roles must alternate: user, assistant, user, assistant, ...') -}}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}
    {{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim + ' [/INST]' -}}
    {%- if loop.last and add_generation_prompt -%}{{- ' ' -}}{%- endif -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- ' ' + message['content'] | trim + ' ' + eos_token -}}
  {%- else -%}
    {{- raise_exception('Only user, assistant and one first system message are supported.') -}}
  {%- endif -%}
{%- endfor -%}
"""


def train(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer with at most `vocabulary` tokens."""
    learned = _backend(BPE())
    trainer = BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL) - len(BYTES),
        initial_alphabet=sorted(ALPHABET),
        min_frequency=2,
        show_progress=False,
    )
    learned.train_from_iterator((_only_alphabet(text) for text in texts), trainer)
    return wrap(_with_bytes(learned))


def wrap(backend: Tokenizer) -> PreTrainedTokenizerFast:
    """Make a tokenizer of the transformers library from one of the tokenizers library."""
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """The ids of texts that hold control tokens of ours, as rendered prompts do; nothing is added."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def encode_text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """The ids of a text that is nothing but text: it can never become a control token or a byte token."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def _backend(model: BPE) -> Tokenizer:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _with_bytes(learned: Tokenizer) -> Tokenizer:
    """The learned tokenizer with special and byte tokens in front, in Llama's order."""
    state = json.loads(learned.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].__getitem__)
    vocab = {token: i for i, token in enumerate((*SPECIAL, *BYTES, *tokens))}
    merges = [tuple(merge) for merge in state["merges"]]
    backend = _backend(BPE(vocab=vocab, merges=merges, unk_token=UNK, byte_fallback=True, fuse_unk=True))
    backend.add_special_tokens(list(SPECIAL))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, vocab[BOS])]
    )
    return backend


def _only_alphabet(text: str) -> str:
    return "".join(char for char in text if char in ALPHABET)
