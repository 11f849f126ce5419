"""One epoch of the engine as a worker sees it: AsyncLLM on a slot of the engine host. Lives in the event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from vllm.v1.engine.exceptions import EngineDeadError

from gateway.engine import Activity, Model, Work
from gateway.engines.vllm import cerr
from gateway.engines.vllm.lease import Watch
from gateway.engines.vllm.openai import OpenAIServing
from gateway.engines.vllm.prompts import PromptEncoder
from gateway.engines.vllm.pulse import Pulse
from gateway.engines.vllm.refusals import refused
from gateway.engines.vllm.run import parts_of
from gateway.engines.vllm.sampling import sampling_params
from gateway.engines.vllm.stats import Statistics, Steps, quicken, tell_as
from gateway.engines.vllm.timings import Timekeeper
from gateway.errors import GatewayError, InvalidRequestError, UnavailableError
from gateway.json_schema import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine import EngineCoreOutput
    from vllm.v1.engine.async_llm import AsyncLLM

    from gateway.engine import Sampling
    from gateway.engines.vllm.link import Attachment
    from gateway.engines.vllm.run import Run

log = logging.getLogger(__name__)

# vLLM adds a suffix to the name of a request, and a number before it where it has several choices.
_NAME = re.compile(r"(?:\d+_)?(?P<call>[0-9a-f]{32})-[0-9a-f]+")


class Session:
    """What a worker knows of the engine it is attached to.

    Attributes:
        llm: vLLM's client.
        openai: vLLM's own serving of OpenAI's API.
        encoder: from conversations to ids.
        models: the one model, under each of its names.
        runs: the requests that are under way.
        pulse: paces the streams among them.
        watch: looks after the leases among them.
        timekeeper: takes down when the engine did what, for those that are traced.
        stream_interval: the operator's: ids that a stream waits for at least.
    """

    # How long the engine may take to say what it had produced. Only one that hangs takes longer.
    ABORT_SECONDS = 5.0
    GIVE_UP_SECONDS = 2.0

    def __init__(self, attachment: Attachment, llm: AsyncLLM, names: Sequence[str]) -> None:
        self.llm = llm
        self.runs: set[Run] = set()
        self.pulse = Pulse(asyncio.get_running_loop())
        self.stream_interval: int = llm.output_processor.stream_interval
        self.watch = Watch()
        self._steps = Steps()
        quicken(llm.output_processor, self._steps)
        self.timekeeper = Timekeeper(llm.output_processor)
        _call_before(llm.output_processor, "process_outputs", self.timekeeper.read)
        _call_after(llm.output_processor, "process_outputs", self._step)
        self._tokenizer = llm.renderer.get_tokenizer()
        self.encoder = PromptEncoder(self._tokenizer, attachment.serving.get("chat_template"))
        self.openai = OpenAIServing(llm, names, self.encoder, attachment.serving)
        loggers = llm.logger_manager.stat_loggers if llm.logger_manager is not None else ()
        self._statistics = [one for one in loggers if isinstance(one, Statistics)]
        if self._statistics:
            self._tell_steps(llm.engine_core)
        self._model_config = attachment.vllm_config.model_config
        longest = self._model_config.max_model_len
        self.models = [Model(name, names[0], longest, attachment.created) for name in names]
        self._defaults = self._model_config.get_diff_sampling_param()
        # An answer's length is the caller's and its product's to limit, not a generation config's.
        self._defaults.pop("max_tokens", None)

    @classmethod
    def attach(cls, attachment: Attachment, names: Sequence[str]) -> Session:
        """Take the slot. `names` are what requests may call the model."""
        from vllm.v1.engine import core_client  # noqa: PLC0415 - takes seconds, see engine.py
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        from gateway.engines.vllm.coalesce import StepOutputs  # noqa: PLC0415

        cerr.close()  # grammars are tried here before the engine makes them
        core_client.EngineCoreOutputs = StepOutputs  # what it reads messages as
        tell_as(attachment.vllm_config, names[0])
        llm = AsyncLLM.from_vllm_config(
            attachment.vllm_config,
            stat_loggers=[Statistics] if attachment.statistics else None,
            disable_log_stats=True,  # of vLLM's own loggers
            client_addresses={
                "input_address": attachment.input_address,
                "output_address": attachment.output_address,
            },
            client_count=attachment.slots,
            client_index=attachment.slot,
        )
        return cls(attachment, llm, names)

    @property
    def broken(self) -> bool:
        """Whether vLLM's client has given up on the engine."""
        return bool(self.llm.errored)

    def params(self, sampling: Sampling) -> SamplingParams:
        """VLLM's parameters; raises InvalidRequestError where it refuses them."""
        if sampling.json_schema is not None and (words := fault(sampling.json_schema)) is not None:
            field = "response_format.json_schema.schema"
            raise InvalidRequestError(f"Field `{field}` {words}.", param=field)
        try:
            return sampling_params(sampling, self._defaults)
        except ValueError as error:
            raise refused(error, structured=sampling.json_schema is not None) from error

    def beginning(self, text: str, token_ids: Sequence[int]) -> str:
        """The first text of an answer as the tokenizer alone decodes it.

        vLLM decodes it as a continuation of the prompt. Tokenizers such as Llama's mark the beginning of a word, and
        decoding an answer by itself drops the space before its first word.
        """
        if text.startswith(" ") and not self._tokenizer.decode(token_ids, skip_special_tokens=True).startswith(" "):
            return text[1:]
        return text

    async def lease(self, request_id: str, choices: int, ids: int, *, last: bool) -> None:
        """Tell the engine what each choice of a request may produce in all; with `last`, that it ends there."""
        parts = parts_of(request_id, choices)
        await self.llm.engine_core.call_utility_all_async("gateway_lease", parts, ids, last)

    async def abort(self, request_id: str, choices: int, counted: Callable[[int, int], None]) -> None:
        """Take a request out of the engine.

        Args:
            request_id: vLLM's internal one.
            choices: how many it has.
            counted: told the index, and the ids produced, of each choice that the engine was still working on.
        """
        parts = {part: index for index, part in enumerate(parts_of(request_id, choices))}
        engines = await asyncio.wait_for(
            self.llm.engine_core.call_utility_all_async("gateway_abort", list(parts)), self.ABORT_SECONDS
        )
        found = {part: produced for engine in engines for part, produced in engine.items()}
        for part, produced in found.items():
            counted(parts[part], produced)
        if found:
            await self.llm.abort(list(found), internal=True)
            # vLLM forgets a request of several choices when one of them ends by itself, but not when all are aborted.
            parents = self.llm.output_processor.parent_requests
            if (parent := parents.get(request_id)) is not None and not parent.child_requests:
                del parents[request_id]

    async def abort_client(self, slot: int) -> dict[str, int]:
        """Take what a dead worker has left out of the engine.

        Returns:
            How many ids its last requests had produced, by `Terms.call`; those that had ended are among them.
        """
        engines = await self.llm.engine_core.call_utility_all_async("gateway_abort_client", slot)
        calls: dict[str, int] = {}
        for request_id, produced in (pair for engine in engines for pair in engine.items()):
            found = _NAME.fullmatch(request_id)
            if found is not None:
                calls[found["call"]] = calls.get(found["call"], 0) + produced
        return calls

    async def load(self, timeout: float) -> tuple[int, int]:  # noqa: ASYNC109 - the engine port's
        """How many requests the engine runs, and how many wait in it."""
        counts = await self._ask("gateway_load", timeout)
        return sum(running for running, _ in counts), sum(waiting for _, waiting in counts)

    async def work(self, timeout: float) -> Work:  # noqa: ASYNC109 - the engine port's
        """What the engine has done and has to do."""
        told = await self._ask("gateway_work", timeout)
        queued = Counter[int]()
        for _, one in told:
            # On its way from the engine a number that is a key may have become a text.
            queued.update({int(priority): tokens for priority, tokens in one.items()})
        return Work(sum(produced for produced, _ in told), queued)

    async def activity(self, timeout: float) -> Activity:  # noqa: ASYNC109 - the engine port's
        """What the engine is doing; of several, how full the fullest is."""
        running, waiting, usage, speed = zip(*await self._ask("gateway_activity", timeout), strict=True)
        return Activity(sum(running), sum(waiting), max(usage), sum(speed))

    async def _ask(self, utility: str, timeout: float) -> list[Any]:  # noqa: ASYNC109 - handed on
        asked = self.llm.engine_core.call_utility_all_async(utility)
        try:
            answers: list[Any] = await asyncio.wait_for(asked, timeout)
        except (TimeoutError, EngineDeadError) as error:
            raise UnavailableError("The model does not answer. Try again.", retry_after=2) from error
        return answers

    def _tell_steps(self, core: Any) -> None:
        """Have the statistics know the steps of each message before what it tells, also of one without an output."""
        receive = core.get_output_async

        @functools.wraps(receive)
        async def received() -> Any:
            outputs = await receive()
            self._steps.hear(outputs)
            for statistics in self._statistics:
                statistics.hear(outputs)
            return outputs

        core.get_output_async = received

    def _step(self, outputs: Sequence[EngineCoreOutput]) -> None:
        """The engine has told something."""
        if any(output.finish_reason is None and output.prefill_stats is None for output in outputs):
            self.pulse.step()
        self.watch.step()

    async def give_up(self, error: GatewayError) -> None:
        """Take all that is under way out of the engine; it ends with the error, and its count is exact.

        Where the engine does not answer in time, the count is what it has told.
        """
        runs = list(self.runs)
        for run in runs:
            run.give_up(error)
        try:
            async with asyncio.timeout(self.GIVE_UP_SECONDS):
                for run in runs:
                    await run.wait()
        except TimeoutError:
            log.warning("the engine did not say what it had produced for %d requests", len(self.runs))
            for run in list(self.runs):
                run.fail(error)

    def close(self) -> None:
        """The engine is gone: fail what was under way."""
        for run in list(self.runs):
            run.fail(UnavailableError("The model restarted while it answered. Try again.", retry_after=5))
        self.llm.shutdown()
        for statistics in self._statistics:
            statistics.forget()


def _call_before(owner: object, name: str, first: Callable[..., None]) -> None:
    """Replace a method of one object by itself with a call before it, which gets its first two arguments."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        first(*args[:2])
        return method(*args, **kwargs)

    setattr(owner, name, called)


def _call_after(owner: object, name: str, then: Callable[..., None]) -> None:
    """Replace a method of one object by itself with a call behind it, which gets its first argument."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        then(*args[:1])
        return result

    setattr(owner, name, called)
