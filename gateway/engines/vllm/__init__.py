"""vLLM behind the engine port: the only package that imports vLLM, torch or transformers.

Three kinds of process take part (`docs/decisions/0001-process-model.md`):

    host.py   one engine host for each gateway: imports vLLM once, forks EngineCore, forks a new one when it dies
    core.py   what this package adds inside EngineCore
    engine.py the client in each gunicorn worker: tokenizer, chat template, streams

`arguments.py`, `prompts.py` and `sampling.py` translate between the gateway's words and vLLM's; `link.py` is what
host and clients say to each other. Importing this package does not import vLLM: that takes seconds.
"""

from gateway.engines.vllm.engine import VllmEngine

__all__ = ["VllmEngine"]
