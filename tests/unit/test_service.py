"""`Gateway.generate` and the `Answer` that it gives: however it ends, the engine is free and the usage exact."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gateway.answer import Answer, Stopwatch
from gateway.engine import Cancelled, Delta, Finish, Message, Model, Sampling, Standing
from gateway.engines.scripted import Script, ScriptedEngine
from gateway.errors import DeadlineExceededError, InvalidRequestError, NotFoundError, UnavailableError
from gateway.ledger import Usage
from gateway.products import ALL_PRODUCTS
from gateway.service import GenerateRequest
from gateway.store import Store, open_store
from gateway.subscription import Caller
from tests.gateways import make_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.engine import Event, Passing, Timings
    from gateway.service import Gateway

CALLER = Caller("s", "A subscription", ALL_PRODUCTS, "primary")
TIMEOUT = 60.0


class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_length=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('service') / 'g.sqlite3'}")
    yield store
    store.close()


@pytest.fixture
def gateway(engine: ScriptedEngine, clock: Clock, store: Store) -> Gateway:
    return make_gateway(engine, store, timeout=TIMEOUT, monotonic=clock)


def ask(gateway: Gateway, text: str = "abc", **options: object) -> Answer:
    model = options.pop("model", None)
    sampling = Sampling(**options)  # type: ignore[arg-type]  # a test may write any field
    messages = (Message("user", text),)
    admission = gateway.call(CALLER, "Get Data", "0" * 32)
    return gateway.generate(admission, GenerateRequest(messages, sampling, None if model is None else str(model)))


def script(engine: ScriptedEngine, text: str = "four", **more: object) -> None:
    engine.script = lambda _prompt: Script(text, **more)  # type: ignore[arg-type]


class WrittenDown:
    """A generation with these events, as an engine that counts and reports in its own way may give them."""

    def __init__(self, *events: Event | Exception) -> None:
        self._events = iter(events)
        self.cancelled = 0
        self.produced = 0

    def next(self, timeout: float | None, passing: Passing | None = None) -> Event:  # noqa: ARG002 - the port's
        """The next of the events that is not passed on."""
        event = next(self._events)
        while passing is not None and not isinstance(event, Exception) and passing(event):
            event = next(self._events)
        if isinstance(event, Exception):
            raise event
        return event

    def cancel(self) -> None:
        """Count it."""
        self.cancelled += 1

    def standings(self) -> list[Standing]:
        """One sequence, whose ids were produced and not told."""
        return [Standing(self.produced, ended=False)]

    def timings(self) -> Timings | None:
        """It says nothing of them."""
        return None


def answer_of(*events: Event | Exception) -> Answer:
    return Answer(WrittenDown(*events), Model("m", "m", 100, 0), Usage(3), Stopwatch(0.0, TIMEOUT, lambda: 0.0))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def test_what_is_passed_on_while_the_reader_waits_counts_as_what_it_reads() -> None:
    deltas = [Delta("a", [1]), Delta("bc", [2, 3]), Delta("d", [4])]
    answer = answer_of(*deltas, Finish("stop", 4))
    passed: list[Event] = []

    def passing(event: Event) -> bool:
        if event is deltas[1]:
            return False
        passed.append(event)
        return True

    answer.passing = passing
    assert list(answer) == [deltas[1], Finish("stop", 4)]  # an end is never passed on
    assert passed == [deltas[0], deltas[2]]
    assert (answer.usage.completion_tokens, answer.usage.delivered_tokens) == (4, 4)
    assert answer.usage.first_token_seconds is not None


@pytest.mark.parametrize(("told", "produced", "counted"), [(0, 5, 5), (2, 5, 5), (2, 0, 2)])
def test_an_answer_whose_engine_is_gone_counts_what_is_known(told: int, produced: int, counted: int) -> None:
    generation = WrittenDown(*[Delta("a", [1])] * told, UnavailableError("gone"))
    generation.produced = produced
    answer = Answer(generation, Model("m", "m", 100, 0), Usage(3), Stopwatch(0.0, TIMEOUT, lambda: 0.0))
    with pytest.raises(UnavailableError):
        list(answer)
    assert answer.usage.completion_tokens == counted


def test_an_answer_that_is_given_up_as_its_engine_goes_counts_the_same() -> None:
    generation = WrittenDown(Delta("a", [1]), UnavailableError("gone"))
    generation.produced = 5
    answer = Answer(generation, Model("m", "m", 100, 0), Usage(3), Stopwatch(0.0, TIMEOUT, lambda: 0.0))
    assert next(iter(answer))
    answer.close()
    assert (answer.usage.completion_tokens, generation.cancelled) == (5, 1)


def test_an_answer_is_deltas_and_then_one_finish(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine)
    answer = ask(gateway)
    *deltas, finish = list(answer)
    assert text_of(deltas) == "four"
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert finish == answer.finish == Finish("stop", 4)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 4, 7)
    assert engine.running == 0


def test_an_answer_is_over_when_it_is_over(gateway: Gateway) -> None:
    answer = ask(gateway)
    assert list(answer)
    assert list(answer) == []
    answer.close()
    answer.cancel()
    assert answer.finish == Finish("stop", 10)


def test_the_usage_grows_with_the_events(gateway: Gateway) -> None:
    answer = ask(gateway)
    seen = [answer.usage.completion_tokens for _ in answer]
    assert seen == [*range(1, 11), 10]


def test_the_time_to_the_first_token_counts_from_admission(
    gateway: Gateway, engine: ScriptedEngine, clock: Clock
) -> None:
    script(engine)
    answer = ask(gateway)
    assert answer.usage.first_token_seconds is None
    for step, _ in enumerate(answer):
        if step == 0:
            assert answer.usage.first_token_seconds == 0.0
        clock.now += 1
    assert answer.usage.first_token_seconds == 0.0
    script(engine, "")
    empty = ask(gateway)
    assert list(empty) == [Finish("stop", 0)]
    assert empty.usage.first_token_seconds is None


def test_closing_gives_up_the_rest_and_counts_what_was_made(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine, hold_after=2)
    answer = ask(gateway)
    events = iter(answer)
    assert text_of([next(events), next(events)]) == "fo"
    answer.close()
    assert engine.running == 0
    assert (answer.usage.completion_tokens, answer.finish) == (2, None)
    assert list(events) == []


def test_closing_an_answer_that_was_never_read_frees_the_engine(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine, hold_after=0)
    answer = ask(gateway)
    assert engine.running == 1
    answer.close()
    answer.close()
    assert engine.running == 0
    assert answer.usage.completion_tokens == 0


def test_dropping_the_iterator_frees_the_engine(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine, hold_after=1)
    answer = ask(gateway)
    for _ in answer:
        break
    assert engine.running == 0
    assert answer.usage.completion_tokens == 1


def test_closing_counts_tokens_that_nobody_read(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine)
    answer = ask(gateway)
    while engine.running:  # the engine finishes by itself
        threading.Event().wait(0.001)
    answer.close()
    assert answer.usage.completion_tokens == 4
    assert answer.finish == Finish("stop", 4)


def test_cancelling_from_another_thread_ends_the_iteration(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine, hold_after=2)
    answer = ask(gateway)
    events = iter(answer)
    next(events)
    next(events)
    canceller = threading.Thread(target=answer.cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        next(events)
    canceller.join()
    assert engine.running == 0
    assert (answer.usage.completion_tokens, answer.finish) == (2, None)


@pytest.mark.parametrize("late", [TIMEOUT, TIMEOUT + 1000])
def test_an_answer_past_its_deadline_is_taken_out_of_the_engine(
    gateway: Gateway, engine: ScriptedEngine, clock: Clock, late: float
) -> None:
    script(engine, hold_after=2)
    answer = ask(gateway)
    events = iter(answer)
    next(events)
    next(events)
    clock.now += late
    with pytest.raises(DeadlineExceededError, match="60 seconds"):
        next(events)
    assert engine.running == 0
    assert (answer.usage.completion_tokens, answer.finish) == (2, None)


def test_a_deadline_that_passes_while_the_engine_is_silent_is_noticed(
    engine: ScriptedEngine, clock: Clock, store: Store
) -> None:
    script(engine, hold_after=0)
    answer = ask(
        make_gateway(engine, store, timeout=0.01, monotonic=clock)
    )  # the clock stands still: the wait itself has to end
    with pytest.raises(DeadlineExceededError):
        next(iter(answer))
    assert engine.running == 0


def test_the_deadline_counts_from_admission(gateway: Gateway, engine: ScriptedEngine, clock: Clock) -> None:
    script(engine)
    answer = ask(gateway)
    clock.now += TIMEOUT - 0.001
    assert text_of(list(answer)) == "four"


@pytest.mark.parametrize("error", [UnavailableError("It died."), RuntimeError("Unforeseen.")])
def test_a_failure_comes_through_and_what_was_made_is_counted(
    gateway: Gateway, engine: ScriptedEngine, error: Exception
) -> None:
    script(engine, fail_after=3, error=error)
    answer = ask(gateway)
    events = iter(answer)
    assert text_of([next(events) for _ in range(3)]) == "fou"
    with pytest.raises(type(error)):
        next(events)
    answer.close()
    assert engine.running == 0
    assert (answer.usage.completion_tokens, answer.finish) == (3, None)


def test_a_failure_while_an_answer_is_given_up_is_of_no_interest(gateway: Gateway, engine: ScriptedEngine) -> None:
    script(engine, fail_after=1, error=RuntimeError("Unforeseen."))
    answer = ask(gateway)
    while engine.running:
        threading.Event().wait(0.001)
    answer.close()
    assert answer.usage.completion_tokens == 1


@pytest.mark.parametrize(("wanted", "given"), [(None, 97), (1, 1), (97, 97), (98, 97), (10**9, 97)])
def test_max_tokens_is_cut_to_the_context(
    gateway: Gateway, engine: ScriptedEngine, wanted: int | None, given: int
) -> None:
    list(ask(gateway, "abc", max_tokens=wanted, temperature=0.5))
    assert engine.requests == [([97, 98, 99], Sampling(max_tokens=given, temperature=0.5))]


@pytest.mark.parametrize("length", [100, 101, 5000])
def test_a_prompt_that_leaves_no_room_is_refused(gateway: Gateway, engine: ScriptedEngine, length: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{length} tokens") as caught:
        ask(gateway, "q" * length)
    assert caught.value.param == "prompt"
    assert engine.requests == []


def test_a_prompt_that_leaves_room_for_one_token_is_answered(gateway: Gateway) -> None:
    answer = ask(gateway, "q" * 99)
    assert list(answer)[-1] == Finish("length", 1)


@pytest.mark.parametrize("name", [None, "scripted", "second-name"])
def test_a_model_answers_under_its_first_name(gateway: Gateway, name: str | None) -> None:
    answer = ask(gateway, model=name)
    list(answer)
    assert answer.model.name == "scripted"


def test_an_unknown_model_is_refused_before_the_engine_sees_anything(gateway: Gateway, engine: ScriptedEngine) -> None:
    with pytest.raises(NotFoundError, match="scripted, second-name") as caught:
        ask(gateway, model="other")
    assert caught.value.param == "model"
    assert engine.requests == []


def test_an_engine_that_is_not_ready_is_told_with_a_time(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.phase = "loading"
    with pytest.raises(UnavailableError, match="loading, step 3 of 6") as caught:
        ask(gateway)
    assert caught.value.retry_after == 2


def test_what_the_engine_counted_at_the_end_is_what_counts() -> None:
    answer = answer_of(Delta("a", [1]), Delta("", [2, 3]), Finish("stop", 5, cached_tokens=2))
    assert text_of(list(answer)) == "a"
    assert (answer.usage.completion_tokens, answer.usage.cached_tokens) == (5, 2)


def test_tokens_that_the_engine_made_before_it_let_go_are_counted_though_nobody_saw_them() -> None:
    read = answer_of(Delta("a", [1]), Cancelled(7))
    with pytest.raises(Cancelled):
        list(read)
    assert read.usage.completion_tokens == 7
    closed = answer_of(Delta("a", [1]), Delta("b", [2]), Cancelled(9))
    next(iter(closed))
    closed.close()
    assert closed.usage.completion_tokens == 9
