"""Outputs that leave EngineCore together: in order, none lost, and those at once that somebody waits for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine import Delta, Finish, Message, Sampling
from tests.gateways import some_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.engines.vllm import VllmEngine

BEGINNING, MIDDLE, EXTRA, END = "beginning", "middle", "extra", "end"
AGES = 1.0
A_STEP = 1 / 256  # seconds, and exact


@pytest.fixture(scope="module")
def coalesce() -> Any:
    """The module, which imports vLLM."""
    from gateway.engines.vllm import coalesce  # noqa: PLC0415

    return coalesce


class Engine:
    """Steps of a scheduler, written down, on a clock that tests set."""

    def __init__(self, module: Any) -> None:
        self.now = 100.0
        self.requests: dict[str, Any] = {}
        self._module = module
        self._coalescer = module.Coalescer(lambda: self.now)

    def add(self, name: str, *, client: int = 0, stop: Iterable[str] = ()) -> None:
        """A request that runs."""
        params = SimpleNamespace(stop=list(stop))
        self.requests[name] = SimpleNamespace(
            request_id=name, client_index=client, sampling_params=params, num_output_tokens=0
        )

    def step(self, *made: tuple[str, str, list[int]], timed: bool = False) -> dict[int, list[tuple[str, list[int]]]]:
        """A step in which requests made ids: who, as what, which. Says what each client is told."""
        return {
            client: [(output.request_id, output.new_token_ids) for output in outputs.outputs]
            for client, outputs in self.told(*made, timed=timed).items()
        }

    def told(self, *made: tuple[str, str, list[int]], timed: bool = False, statistics: Any = None) -> dict[int, Any]:
        """The same, as messages."""
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason  # noqa: PLC0415
        from vllm.v1.metrics.stats import PrefillStats  # noqa: PLC0415

        more: dict[str, Callable[[], dict[str, Any]]] = {
            BEGINNING: lambda: {"prefill_stats": PrefillStats()},
            MIDDLE: dict,
            EXTRA: lambda: {"kv_transfer_params": {"any": "thing"}},
            END: lambda: {"finish_reason": FinishReason.LENGTH},
        }
        self._coalescer.begin(len(self.requests))
        told: dict[int, Any] = {}
        for name, kind, ids in made:
            outputs = told.setdefault(
                self.requests[name].client_index, EngineCoreOutputs(outputs=[], timestamp=self.now)
            )
            outputs.outputs.append(EngineCoreOutput(name, list(ids), **more[kind]()))
            if kind == END:
                del self.requests[name]
        if statistics is not None:
            told[0].scheduler_stats = statistics
        found: dict[int, Any] = self._coalescer.coalesce(told, self.requests, timed=timed)
        return found

    def beat(self, *made: tuple[str, str, list[int]]) -> dict[int, list[tuple[str, list[int]]]]:
        """A step that is a beat in any case."""
        self.now += AGES
        return self.step(*made)


@pytest.fixture
def engine(coalesce: Any) -> Engine:
    return Engine(coalesce)


def test_the_first_id_and_the_end_go_at_once_and_the_end_takes_along_what_was_kept(engine: Engine) -> None:
    engine.add("a")
    assert engine.beat() == {}
    assert engine.step(("a", BEGINNING, [1])) == {0: [("a", [1])]}
    assert engine.step(("a", MIDDLE, [2])) == {}
    assert engine.step(("a", MIDDLE, [3])) == {}
    assert engine.step(("a", END, [4])) == {0: [("a", [2, 3, 4])]}


@pytest.mark.parametrize(("requests", "seconds"), [(1, 1 / 60), (16, 0.04), (64, 0.1), (500, 0.1)])
def test_what_is_kept_goes_with_the_next_beat(engine: Engine, requests: int, seconds: float) -> None:
    for number in range(requests):
        engine.add(str(number))
    assert engine.beat(("0", MIDDLE, [1])) == {0: [("0", [1])]}
    assert engine.step(("0", MIDDLE, [2])) == {}
    engine.now += seconds - 0.001
    assert engine.step(("0", MIDDLE, [3])) == {}
    engine.now += 0.001
    assert engine.step(("0", MIDDLE, [4])) == {0: [("0", [2, 3, 4])]}
    assert engine.step(("0", MIDDLE, [5])) == {}


def test_a_request_that_gave_way_to_others_has_its_ids_handed_on_as_well(engine: Engine) -> None:
    engine.add("a", client=3)
    engine.add("b")
    engine.beat()
    engine.step(("a", MIDDLE, [1]), ("b", MIDDLE, [2]))
    assert engine.beat(("b", MIDDLE, [3])) == {0: [("b", [2, 3])], 3: [("a", [1])]}


def test_an_output_that_says_more_takes_along_what_was_kept(engine: Engine) -> None:
    engine.add("a")
    engine.beat()
    engine.step(("a", MIDDLE, [1]))
    assert engine.step(("a", EXTRA, [2])) == {0: [("a", [1, 2])]}
    assert engine.beat() == {}


def test_what_a_worker_may_have_to_end_does_not_wait(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.engines.vllm import hold  # noqa: PLC0415

    engine.add("stop", stop=["\n"])
    engine.add("lease")
    engine.beat()
    assert engine.step(("stop", MIDDLE, [1])) == {0: [("stop", [1])]}
    monkeypatch.setitem(hold._leases, "lease", 100)  # noqa: SLF001
    engine.requests["lease"].num_output_tokens = 35
    assert engine.step(("lease", MIDDLE, [2])) == {}
    engine.requests["lease"].num_output_tokens = 36  # 64 are left
    assert engine.step(("lease", MIDDLE, [3])) == {0: [("lease", [2, 3])]}


def test_of_a_request_that_was_aborted_nothing_is_told(engine: Engine) -> None:
    engine.add("a")
    engine.beat()
    engine.step(("a", MIDDLE, [1]))
    del engine.requests["a"]
    assert engine.beat() == {}
    engine.add("a")
    assert engine.beat(("a", MIDDLE, [2])) == {0: [("a", [2])]}


def test_no_more_than_so_many_are_kept(engine: Engine, coalesce: Any) -> None:
    engine.add("a")
    engine.beat()
    for number in range(coalesce.MOST_IDS):
        assert engine.step(("a", MIDDLE, [number])) == {}
    assert engine.step(("a", MIDDLE, [-1])) == {0: [("a", [*range(coalesce.MOST_IDS), -1])]}


def test_a_message_tells_of_every_step_since_the_last_one(engine: Engine) -> None:
    engine.add("a")
    engine.add("b", client=1)
    engine.beat()
    start = engine.now
    assert engine.told(("a", MIDDLE, [1]), ("b", MIDDLE, [1]), timed=True) == {}
    engine.now += A_STEP
    ((client, message),) = engine.told(("a", MIDDLE, [2]), ("b", EXTRA, [2, 3]), timed=True).items()
    assert (client, message.steps) == (1, [(start, 1), (start + A_STEP, 2)])
    engine.now += A_STEP
    ((client, message),) = engine.told(("a", END, [3]), ("b", MIDDLE, [4]), timed=True).items()
    assert (client, message.steps) == (0, [(start, 1), (start + A_STEP, 1), (start + 2 * A_STEP, 1)])


def test_statistics_that_leave_alone_are_no_step(engine: Engine, coalesce: Any) -> None:
    from vllm.v1.metrics.stats import SchedulerStats  # noqa: PLC0415

    engine.add("a")
    engine.beat()
    message = engine.told(("a", MIDDLE, [1]), timed=True, statistics=SchedulerStats())[0]
    assert message.outputs == []
    assert not isinstance(message, coalesce.StepOutputs)
    message = engine.told(("a", END, [2]), timed=True)[0]
    assert message.steps == [(engine.now, 1), (engine.now, 1)]


def test_a_message_is_read_with_its_steps_and_by_others_without(coalesce: Any) -> None:
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs  # noqa: PLC0415
    from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder  # noqa: PLC0415

    message = coalesce.StepOutputs(outputs=[EngineCoreOutput("a", [1, 2])], timestamp=5.0, steps=[(4.0, 1), (5.0, 1)])
    sent = MsgpackEncoder().encode(message)
    read = MsgpackDecoder(coalesce.StepOutputs).decode(sent)
    assert (read.outputs, read.steps) == (message.outputs, message.steps)
    assert MsgpackDecoder(EngineCoreOutputs).decode(sent).outputs == message.outputs


def test_any_field_but_the_ids_makes_an_output_that_does_not_wait(coalesce: Any) -> None:
    from vllm.v1.engine import EngineCoreOutput  # noqa: PLC0415

    assert coalesce.has_ids_only(EngineCoreOutput("a", [1]))
    for field in set(EngineCoreOutput.__struct_fields__) - {"request_id", "new_token_ids"}:
        output = EngineCoreOutput("a", [1])
        setattr(output, field, 1)
        assert not coalesce.has_ids_only(output), field


_MADE = st.tuples(st.integers(0, 4), st.sampled_from([MIDDLE, MIDDLE, MIDDLE, BEGINNING, EXTRA]), st.integers(1, 3))


@given(st.lists(st.lists(_MADE, max_size=5, unique_by=lambda one: one[0]), max_size=60), st.randoms())
def test_every_id_arrives_once_and_in_order(steps: list[list[tuple[int, str, int]]], random: Any) -> None:
    from gateway.engines.vllm import coalesce  # noqa: PLC0415

    engine = Engine(coalesce)
    for number in range(5):
        engine.add(str(number), client=number % 2, stop=["x"] if number == 4 else [])
    sent: dict[str, list[int]] = {str(number): [] for number in range(5)}
    read: dict[str, list[int]] = {str(number): [] for number in range(5)}
    for made in [*steps, [(number, END, 1) for number in range(5)]]:
        engine.now += random.choice([0.001, 0.02, 0.2])
        outputs = []
        for number, kind, ids in made:
            new = [len(sent[str(number)]) + one for one in range(ids)]
            sent[str(number)] += new
            outputs.append((str(number), kind, new))
        for client, told in engine.step(*outputs).items():
            for name, arrived in told:
                assert client == int(name) % 2
                read[name] += arrived
    assert read == sent


def test_a_worker_hears_far_less_often_from_the_engine_than_that_makes_a_step(vllm_engine: VllmEngine) -> None:
    session: Any = vllm_engine._session  # noqa: SLF001
    core = session.llm.engine_core
    receive, heard = core.get_output_async, []

    async def received() -> Any:
        outputs = await receive()
        heard.append(len(outputs.outputs))
        return outputs

    core.get_output_async = received
    try:
        prompt = vllm_engine.encode([Message("user", "Count from 1 to 300")])
        running = [
            vllm_engine.generate(prompt, Sampling(max_tokens=120, temperature=0), some_terms(), stream=False)
            for _ in range(40)
        ]
        for generation in running:
            events: list[Any] = []
            while not events or not isinstance(events[-1], Finish):
                events.append(generation.next(60))
            assert [event.completion_tokens for event in events if isinstance(event, Finish)] == [120]
            assert sum(len(event.token_ids) for event in events if isinstance(event, Delta)) == 120
    finally:
        core.get_output_async = receive
    assert len(heard) < 60
