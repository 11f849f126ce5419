"""Trying an operation in a real browser on the real gateway: from a key to an answer, and what may go wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.real.callers import LONG, caller_with

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.portal.conftest import Portal, Visit
    from tests.server import GatewayServer

GET_DATA = "/portal/operations/get-data"
TRACE_ID = re.compile(r"[0-9a-f]{32}")


def greedy(page: Page, prompt: str, tokens: int | None = None) -> None:
    """Fill in a prompt whose answer is always the same."""
    page.fill("#prompt", prompt)
    if not page.locator(".settings").evaluate("(found) => found.open"):
        page.click(".settings summary")
    page.fill("#setting-temperature", "0")
    if tokens is not None:
        page.fill("#setting-max_tokens", str(tokens))


def fact(page: Page, name: str) -> str:
    """A figure of the answer."""
    return page.inner_text(f"[data-fact={name}]")


def send(page: Page) -> None:
    """Send, and wait for the end, whatever it is."""
    page.click("#send")
    expect(page.locator("#state")).to_have_text(re.compile(r"Done\.|It failed\."))


def test_a_visitor_while_the_model_loads_sees_how_far_it_is_and_when_to_try_again(portal: Portal) -> None:
    loading = portal.loading
    assert re.fullmatch(r"Model \S+: step \d+ of \d+", loading.engine)
    assert loading.title == "Get Data"
    assert "503" in loading.problem
    assert re.search(r"step \d+ of \d+", loading.problem)
    assert TRACE_ID.search(loading.problem)
    assert loading.engine_after == "Model ready"
    assert "you can try again now" in loading.problem_after
    assert loading.answer


def test_from_a_key_to_an_answer(visit: Visit, server: GatewayServer) -> None:
    with visit() as person:
        page = person.open()
        page.click("text=Try it now")
        page.fill("#key", server.key)
        greedy(page, "Tell me about llama2")
        send(page)
        whole = server.generate("Tell me about llama2")
        usage = whole["usage"]
        assert page.inner_text("#text") == whole["generated_text"]
        assert fact(page, "status") == "200"
        assert fact(page, "tokens") == (
            f"{usage['prompt_tokens']} read + {usage['completion_tokens']} written = {usage['total_tokens']}"
        )
        assert fact(page, "model") == whole["model"]
        assert fact(page, "finish") == "stop"
        assert fact(page, "first").endswith(" s")
        assert fact(page, "total").endswith(" s")
        logged = server.request_log(fact(page, "trace"))
        assert (logged["operation"], logged["status"], logged["stream"]) == ("Get Data", 200, True)
        assert "data: [DONE]" in (page.locator("#wire").text_content() or "")


def test_the_key_is_in_no_url_and_stays_in_the_tab(visit: Visit, server: GatewayServer) -> None:
    with visit() as person:
        urls: list[str] = []
        person.page.on("request", lambda request: urls.append(request.url))
        page = person.open(GET_DATA)
        page.fill("#key", server.key)
        greedy(page, "Hello")
        send(page)
        page.goto(person.url + "/portal/subscription")
        expect(page.locator("#subscription")).to_be_visible()
        assert page.input_value("#key") == server.key
        assert urls
        assert not [url for url in [*urls, page.url] if server.key in url]
        assert page.evaluate("Object.values(localStorage).join() + document.cookie") == ""
        other = page.context.new_page()
        other.goto(person.url + GET_DATA)
        assert other.input_value("#key") == ""


def test_a_stream_is_shown_as_it_comes(visit: Visit, server: GatewayServer) -> None:
    with visit(key=server.key) as person:
        page = person.open(GET_DATA)
        greedy(page, LONG)
        page.click("#send")
        expect(page.locator("#text")).to_have_text(re.compile(r".{10,}"))
        expect(page.locator("#state")).to_have_text("The answer is coming …")
        early = page.locator("#text").text_content() or ""
        expect(page.locator("#state")).to_have_text("Done.")
        late = page.locator("#text").text_content() or ""
        assert len(early) < len(late)
        assert late == server.generate(LONG)["generated_text"]


def test_stopping_frees_the_engine_and_keeps_what_has_come(visit: Visit, server: GatewayServer) -> None:
    with visit(key=server.key) as person:
        page = person.open(GET_DATA)
        greedy(page, LONG)
        page.click("#send")
        expect(page.locator("#text")).not_to_be_empty()
        page.click("#stop")
        expect(page.locator("#state")).to_contain_text("Stopped.")
        expect(page.locator("#send")).to_be_enabled()
        kept = page.locator("#text").text_content() or ""
        assert kept
        assert server.generate(LONG)["generated_text"].startswith(kept)
        assert server.request_log(fact(page, "trace"))["status"] == 499


def test_a_whole_answer_under_a_system_prompt(visit: Visit, server: GatewayServer) -> None:
    with visit(key=server.key) as person:
        page = person.open("/portal/operations/system-prompt-get-data")
        greedy(page, "Tell me about llama2", 12)
        page.fill("#system", "Answer in one short sentence.")
        page.uncheck("#stream")
        send(page)
        whole = server.generate("Tell me about llama2", system_prompt="Answer in one short sentence.", max_tokens=12)
        assert page.inner_text("#text") == whole["generated_text"]
        assert fact(page, "finish").startswith("length")


def test_openais_operations_are_tried_in_their_form(visit: Visit, server: GatewayServer) -> None:
    with visit(key=server.key) as person:
        for slug in ("chat-completions", "azure-chat-completions"):
            page = person.open(f"/portal/operations/{slug}")
            if slug.startswith("azure"):
                expect(page.locator("#parameter-1")).to_have_value("get-data-demo")  # the first of the models
            greedy(page, "Tell me about llama2", 12)
            send(page)
            whole = server.generate("Tell me about llama2", max_tokens=12)
            assert page.inner_text("#text") == whole["generated_text"]
            assert fact(page, "tokens").endswith(f"= {whole['usage']['total_tokens']}")
        page = person.open("/portal/operations/completions")
        greedy(page, "Llama 2 is", 8)
        send(page)
        assert page.inner_text("#text")
        assert " + 8 written = " in fact(page, "tokens")
        page = person.open("/portal/operations/models")
        send(page)
        assert '"id": "get-data-demo"' in page.inner_text("#text")


def test_a_model_is_chosen_from_those_that_the_key_may_use(visit: Visit, server: GatewayServer) -> None:
    with visit() as person:
        page = person.open(GET_DATA)
        greedy(page, "Hello", 4)
        assert page.locator("#model option").count() == 1
        page.fill("#key", server.key)
        page.locator("#model option[value='meta/llama2-70b']").wait_for(state="attached")
        page.select_option("#model", "meta/llama2-70b")
        send(page)
        assert fact(page, "model") == "get-data-demo"
        assert '"model": "meta/llama2-70b"' in page.inner_text("#code")


def test_a_wrong_key_is_told_with_the_trace_id(visit: Visit, server: GatewayServer) -> None:
    with visit(key="0" * 32, failures={401}) as person:
        page = person.open(GET_DATA)
        send(page)
        problem = page.inner_text("#problem")
        assert "401" in problem
        assert "Make sure to provide a valid key for an active subscription." in problem
        trace_id = TRACE_ID.search(problem)
        assert trace_id
        assert server.request_log(trace_id[0])["status"] == 401


def test_a_limit_is_told_with_a_countdown(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server, rate={"calls": 1, "seconds": 60})
    assert caller.ask().status == 200
    with visit(key=caller.key, failures={429}) as person:
        person.page.clock.install()
        page = person.open(GET_DATA)
        send(page)
        problem = page.inner_text("#problem")
        assert "429" in problem
        assert "Rate limit is exceeded. Try again in" in problem
        assert re.search(r"You can try again in \d+ (s|min)", problem)
        page.clock.run_for(61_000)
        assert "You can try again now." in page.inner_text("#problem")


def test_a_used_up_quota_and_a_faulty_request_are_told(visit: Visit, server: GatewayServer) -> None:
    caller = caller_with(server, callQuota={"amount": 1, "period": "day"})
    assert caller.ask().status == 200
    with visit(key=caller.key, failures={400, 403}) as person:
        page = person.open(GET_DATA)
        send(page)
        assert "Out of call volume quota." in page.inner_text("#problem")
        assert "You can try again in" in page.inner_text("#problem")
        page.fill("#key", server.key)
        greedy(page, "Hello")
        page.fill("#more", '{"temprature": 1}')
        send(page)
        assert "Did you mean `temperature`?" in page.inner_text("#problem")


def test_what_cannot_be_sent_is_told_at_its_field(visit: Visit, server: GatewayServer) -> None:
    with visit() as person:
        page = person.open(GET_DATA)

        def told(selector: str, words: str) -> None:
            page.click("#send")
            assert words in page.inner_text("#fault")
            expect(page.locator(selector)).to_be_focused()
            assert page.get_attribute(selector, "aria-invalid") == "true"

        told("#key", "Enter your subscription key.")
        page.fill("#key", server.key)
        page.fill("#prompt", " \n")
        told("#prompt", "Type a prompt.")
        greedy(page, "Hello")
        page.fill("#setting-seed", "9007199254740993")
        told("#setting-seed", "seed should be a whole number, and here below 2^53.")
        page.fill("#setting-seed", "")
        page.fill("#setting-response_format", "{")
        told("#setting-response_format", "response_format should be JSON.")
        page.fill("#setting-response_format", "")
        send(page)
        assert page.inner_text("#fault") == ""


def test_the_keyboard_is_enough(visit: Visit, server: GatewayServer) -> None:
    with visit() as person:
        page = person.open(GET_DATA)
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        for _ in range(60):
            if page.evaluate("document.activeElement.id") == "key":
                break
            page.keyboard.press("Tab")
        page.keyboard.type(server.key)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.locator("#prompt")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("Hello")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#state")).to_have_text("Done.")
        page.locator("#languages input:checked").focus()
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#code").startswith("POST /get-data HTTP/1.1")
