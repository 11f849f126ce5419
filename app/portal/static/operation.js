// The page of an operation: try it, and take it along.

import { Answer } from "./answer.js";
import { call, events, Problem, withKey } from "./api.js";
import { byId, el } from "./dom.js";
import { bindKey, currentKey, onKey } from "./key.js";
import { showProblem } from "./problem.js";
import { readForm, TypingError } from "./request.js";
import { sampleBox } from "./sample-box.js";

const form = byId("try");
const keyed = "keyed" in form.dataset;
const state = byId("state");
let running = null;

bindKey();
const showSamples = sampleBox(() => readForm(form, { lenient: true }), keyed);

form.addEventListener("input", showSamples);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
});
byId("stop").addEventListener("click", () => running?.abort());

async function send() {
  if (running) return;
  const request = read();
  if (!request) return;
  const answer = new Answer(request.kind);
  running = new AbortController();
  setBusy(true);
  showProblem(byId("problem"), null);
  state.parentElement.scrollIntoView({ block: "nearest" }); // below the form on a phone
  try {
    await receive(answer, request, running.signal);
    state.textContent = "Done.";
  } catch (error) {
    answer.end();
    tell(error);
  } finally {
    running = null;
    setBusy(false);
  }
}

/** What is typed; null where it cannot be sent, which is said. */
function read() {
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  byId("fault").textContent = "";
  try {
    if (keyed && !currentKey()) throw new TypingError(byId("key"), "Enter your subscription key.");
    return readForm(form);
  } catch (error) {
    if (!(error instanceof TypingError)) throw error;
    byId("fault").textContent = error.message;
    error.input.setAttribute("aria-invalid", "true");
    const settings = error.input.closest("details");
    if (settings) settings.open = true;
    error.input.focus();
    return null;
  }
}

async function receive(answer, { method, path, body, kind }, signal) {
  state.textContent = "Sent. Waiting for the first words …";
  const response = await call(path, { method, body, headers: keyed ? withKey(currentKey()) : {}, signal });
  answer.begin(response);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    answer.whole(await response.text());
    return;
  }
  state.textContent = "The answer is coming …";
  for await (const event of events(response)) if (answer.event(event)) return;
  throw new Problem(0, "The stream ended before the answer did. Send it again.", answer.traceId);
}

function tell(error) {
  if (error.name === "AbortError") {
    state.textContent = "Stopped. What the model wrote until then counts as used.";
    return;
  }
  state.textContent = "It failed.";
  const problem = error instanceof Problem ? error : new Problem(0, "The stream was cut off. Send it again.");
  showProblem(byId("problem"), problem);
}

function setBusy(busy) {
  byId("send").disabled = busy;
  byId("stop").disabled = !busy;
  byId("text").setAttribute("aria-busy", String(busy));
  if (!busy && document.activeElement === document.body) byId("send").focus();
}

/** The names that the key may use, for the choice of a model, and for a path that has one. */
async function offerModels(key) {
  const select = byId("model");
  const inPath = form.querySelector('[data-where="path"]');
  if (!key || !(select || inPath)) return;
  let models;
  try {
    const response = await call("/v1/models", { headers: withKey(key) });
    models = (await response.json()).data.map(({ id }) => id);
  } catch (error) {
    if (error instanceof Problem) return; // it is told when something is sent
    throw error;
  }
  if (key !== currentKey()) return;
  if (select) {
    const chosen = select.value;
    select.replaceChildren(select.options[0], ...models.map((id) => el("option", { value: id }, id)));
    select.value = models.includes(chosen) ? chosen : "";
  }
  if (inPath && !inPath.value) [inPath.value] = models;
  showSamples();
}

let pause;
onKey((key) => {
  clearTimeout(pause);
  pause = setTimeout(offerModels, 400, key); // not for every letter of a key
});
offerModels(currentKey());
