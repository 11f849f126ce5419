"""VLLM's AsyncLLM and nothing around it, with the settings that the gateway gives its engine.

    python -m tests.bench.bare

Started the fastest way known: imported without looking for garbage, the configuration first, then EngineCore forked, so
that nothing is imported twice.
It is given token ids that are ready (the gateway has to make them from text while the clock runs), and where the
answer is wanted as a whole it asks vLLM for the last output only. Says `ready` after its first token.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from gateway.cores import leave_to_engine
from gateway.engine import Message, Sampling
from gateway.engines.vllm import collector
from gateway.engines.vllm.supervisor import set_engine_environment
from gateway.processes import die_with_parent
from gateway.settings import load_settings
from tests.bench.child import Channel
from tests.bench.load import Load, Outcome, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM


class BareEngine:
    """An engine of this process's own. Made in the event loop that will use it."""

    def __init__(self) -> None:
        # Imported here: vLLM reads the environment when it is imported.
        settings = load_settings()
        set_engine_environment(settings.engine_flags, small_model=settings.is_demo)
        with collector.importing():
            from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

            from gateway.engines.vllm import arguments, core  # noqa: PLC0415

        core.keep_to_core()
        engine_arguments, _ = arguments.parse(settings.model, settings.engine_flags)
        config = engine_arguments.create_engine_config()
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        os.register_at_fork(after_in_child=die_with_parent)
        self._llm: AsyncLLM = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        self._defaults = config.model_config.get_diff_sampling_param()
        self._defaults.pop("max_tokens", None)
        self._served = 0

    async def first_token(self) -> None:
        """Answer something, as far as its first token."""
        ids = self._llm.renderer.get_tokenizer().encode("Tell me about llama2")
        await self._answer(ids, self._params(1, stream=True))

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """The ids of prompts, through the chat template."""
        from gateway.engines.vllm.prompts import PromptEncoder  # noqa: PLC0415

        encoder = PromptEncoder(self._llm.renderer.get_tokenizer())
        return [encoder.encode([Message("user", prompt)]) for prompt in prompts]

    async def run(self, load: Load) -> Outcome:
        """Answer a load."""
        prompts = self.encode(load.prompts)
        params = self._params(load.max_tokens, stream=load.stream)
        samples: dict[int, Sample] = {}
        waiting = iter(enumerate(prompts))
        cpu, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(self._call(waiting, params, samples) for _ in range(load.level)))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        return Outcome(seconds, cpu, [samples[number] for number in range(len(prompts))])

    async def _call(
        self, waiting: Iterator[tuple[int, list[int]]], params: SamplingParams, samples: dict[int, Sample]
    ) -> None:
        for number, ids in waiting:
            samples[number] = await self._answer(ids, params)

    async def _answer(self, ids: list[int], params: SamplingParams) -> Sample:
        from vllm.inputs import TokensPrompt  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        self._served += 1
        streams = params.output_kind is RequestOutputKind.DELTA
        first, tokens, pieces = None, 0, []
        started = time.monotonic()
        async for output in self._llm.generate(TokensPrompt(prompt_token_ids=ids), params, f"bare-{self._served}"):
            completion = output.outputs[0]
            if first is None and streams and completion.token_ids:
                first = time.monotonic() - started
            tokens += len(completion.token_ids)
            pieces.append(completion.text)
        total = time.monotonic() - started
        return Sample(first, total, len(ids), tokens, "".join(pieces), started)

    def _params(self, max_tokens: int, *, stream: bool) -> SamplingParams:
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        from gateway.engines.vllm.sampling import sampling_params  # noqa: PLC0415

        params = sampling_params(Sampling(max_tokens=max_tokens, temperature=0), self._defaults)
        params.output_kind = RequestOutputKind.DELTA if stream else RequestOutputKind.FINAL_ONLY
        return params

    def stop(self) -> None:
        """End EngineCore."""
        self._llm.shutdown(timeout=0)


async def _serve(channel: Channel) -> None:
    engine = BareEngine()
    try:
        await engine.first_token()
        leave_to_engine()
        channel.send({"ready": True})
        question: dict[str, Any] | None
        while (question := await asyncio.to_thread(channel.receive)) is not None:
            if "encode" in question:
                channel.send({"ids": engine.encode(question["encode"])})
            else:
                channel.send((await engine.run(Load(**question))).to_json())
    finally:
        engine.stop()


def main() -> None:
    """Serve the parent: each question is a load, each answer an outcome; or texts, and ids."""
    asyncio.run(_serve(Channel()))
    os._exit(0)  # the end of a Python process with torch in it takes seconds


if __name__ == "__main__":
    main()
