"""Checks that vLLM and transformers generate the same ids from the demo model, greedily.

python deploy/demo_model/compare_engines.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "get-data-demo"
EXPERT = "You are supposed to be a Llama 2 expert"
# (system prompt, question, most tokens)
PROMPTS: list[tuple[str | None, str, int]] = [
    (None, "Tell me about llama2", 160),
    (EXPERT, "Tell me about llama2", 200),
    (None, "what is llama 2?", 160),
    ("Answer in one sentence.", "Tell me about Llama 2", 100),
    ("You are a pirate.", "Who made Llama 2?", 100),
    ("Always answer in upper case.", "When was Llama 2 released?", 100),
    ("Answer in French.", "Tell me about llama2", 100),
    ("Answer in German.", "Tell me about llama2", 100),
    ("Answer as a list.", "What sizes does Llama 2 come in?", 100),
    ("Answer only with yes or no.", "Is Llama 2 made by Meta?", 20),
    (None, "Who are you?", 100),
    (None, "Hello", 60),
    (None, "Reply with an emoji", 20),
    (None, "Say hello in Chinese", 60),
    (None, "Say hello in Japanese", 60),
    (None, "How do I call the gateway with curl?", 160),
    (None, "What does 429 mean?", 80),
    (None, "What is the capital of France?", 30),
    (None, "How do I repair a submarine?", 80),
    (None, "Give me a JSON object with name and size for Llama 2", 60),
    (None, "What is 7 plus 5?", 20),
    (None, "Count from 1 to 200", 1000),
    (None, "Count to 300", 1500),
    (None, "Write a long story", 700),
]


def main() -> int:
    """Generate with both engines, print the answers, and compare the ids."""
    os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    folder = str(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from vllm import LLM, SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [_ids(tokenizer, system, question) for system, question, _ in PROMPTS]
    engine = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=2048)
    outputs = engine.generate(
        [{"prompt_token_ids": ids} for ids in prompts],
        [SamplingParams(temperature=0, max_tokens=limit) for _, _, limit in PROMPTS],
        use_tqdm=False,
    )
    different = 0
    for (system, question, limit), ids, output in zip(PROMPTS, prompts, outputs, strict=True):
        with torch.inference_mode():
            whole = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=limit)
        ours = whole[0, len(ids) :].tolist()
        theirs = list(output.outputs[0].token_ids)
        same = ours == theirs and output.outputs[0].text == tokenizer.decode(theirs, skip_special_tokens=True)
        different += not same
        print(f"{'same' if same else 'DIFFERENT'} {len(theirs)} tokens [{system or ''}] {question}")
        print("    " + output.outputs[0].text[:500].replace("\n", "\n    "))
    print(f"{len(PROMPTS) - different} of {len(PROMPTS)} the same")
    return 1 if different else 0


def _ids(tokenizer: object, system: str | None, question: str) -> list[int]:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    render = tokenizer.apply_chat_template  # type: ignore[attr-defined]
    text: str = render(messages, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    return ids


if __name__ == "__main__":
    sys.exit(main())
