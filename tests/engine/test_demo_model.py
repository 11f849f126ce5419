"""The script that makes the demo model, in a smoke run, and what the gateway needs of its tokenizer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jinja2 import TemplateError
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer

from deploy.demo_model.demo.evaluate import GOALS
from gateway.settings import DEMO_MODEL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "demo_model" / "train.py"
LOOKS_LIKE_CONTROL = ["</s>", "<s>", "<unk>", "[/INST]", "<<SYS>>", "<0x0A>", "<0x41>", "a</s>b <s> c"]
HARD_TEXTS = [
    "你好, 😀 é ñ ▁ \u0000\t",
    "  two  spaces \n\n\n",
    "🦙",
    "🏳️‍🌈",
    "no space at the end ",
    "\u2028\ufeff",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "model"
    done = run("--quick", "--threads", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_the_folder_is_complete_and_nothing_is_left_beside_it(folder: Path) -> None:
    names = {file.name for file in folder.iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
    }
    assert names >= {"tokenizer_config.json", "chat_template.jinja"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("text", LOOKS_LIKE_CONTROL)
def test_text_that_looks_like_a_control_token_stays_text(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    first_learned = 3 + 256
    assert min(ids) >= first_learned
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("text", LOOKS_LIKE_CONTROL + HARD_TEXTS)
def test_any_text_comes_back_whole_and_piece_by_piece(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text
    stream = DecodeStream(skip_special_tokens=True)
    pieces = [stream.step(tokenizer.backend_tokenizer, token) for token in ids]
    assert "".join(piece or "" for piece in pieces) == text


def test_the_chat_template_is_that_of_llama_2(tokenizer: PreTrainedTokenizerFast) -> None:
    conversation = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": " Hello "},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Bye"},
    ]
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    assert text == "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST] Hi. </s><s>[INST] Bye [/INST] "


@pytest.mark.parametrize("roles", [["assistant"], ["user", "user"], ["user", "system"], ["user", "tool"]])
def test_wrong_roles_are_refused(tokenizer: PreTrainedTokenizerFast, roles: list[str]) -> None:
    with pytest.raises(TemplateError):
        tokenizer.apply_chat_template([{"role": role, "content": "x"} for role in roles], tokenize=False)


def test_a_smoke_run_never_replaces_the_real_model() -> None:
    done = run("--quick")
    assert done.returncode == 2
    assert "--out" in done.stderr


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("--quick", "--out", str(tmp_path))
    assert done.returncode == 1
    assert "not a model" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_shipped_model_reaches_the_goals_of_its_training() -> None:
    figures = re.findall(r"^\| ([^|]+) \| (\d+) of (\d+) \|$", (DEMO_MODEL / "README.md").read_text(), re.MULTILINE)
    shares = {kind: int(right) / int(total) for kind, right, total in figures}
    assert {kind: share for kind, share in GOALS.items() if shares[kind] < share} == {}
