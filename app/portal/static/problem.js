// A failure where a person sees it: what it is, what to do, how long to wait, and the id to ask the operator with.

import { el } from "./dom.js";
import { followEngine } from "./engine.js";

const TITLES = {
  0: "No answer",
  400: "The request is at fault",
  401: "The key is not accepted",
  403: "Not allowed, or used up",
  404: "Not found",
  429: "Too much at a time",
  503: "Not now",
  504: "It took too long",
};

let timer;

/** Show a Problem in an element; null empties it. */
export function showProblem(box, problem) {
  clearInterval(timer);
  box.replaceChildren();
  if (!problem) return;
  const wait = el("p", { class: "wait" });
  box.append(
    el("div", { class: "problem", role: "alert" },
      el("h4", {}, TITLES[problem.status] ?? "It failed", problem.status ? el("span", { class: "status bad" }, String(problem.status)) : null),
      el("p", { class: "message" }, problem.message),
      problem.traceId ? el("p", { class: "soft" }, "Trace id ", el("code", {}, problem.traceId)) : null,
      problem.status === 401 ? el("p", { class: "soft" }, "Look at the key above: all of it, and of a subscription that is active?") : null),
    wait,
  );
  if (problem.status === 503) waitForEngine(wait, problem);
  else if (problem.retryAfter !== null) countDown(wait, problem.retryAfter);
}

function countDown(element, seconds) {
  const end = Date.now() + seconds * 1000;
  const tell = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    element.textContent = left > 0 ? `You can try again in ${duration(left)}.` : "You can try again now.";
    if (left <= 0) clearInterval(timer);
  };
  tell();
  timer = setInterval(tell, 250);
}

function waitForEngine(element, problem) {
  const bar = el("progress", { "aria-label": "Loading of the model" });
  followEngine((state) => {
    if (state.ready) {
      if (bar.isConnected) element.textContent = "The model is ready: you can try again now.";
      else if (problem.retryAfter !== null) countDown(element, problem.retryAfter);
      return;
    }
    if (!bar.isConnected) element.replaceChildren(el("span", {}), bar);
    element.firstChild.textContent = state.text;
    if (state.steps) {
      bar.max = state.steps;
      bar.value = state.step;
    }
  });
}

/** Such as `71 h 59 min` or `12 s`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => whole >= length);
  if (first === -1) return "0 s";
  return units.slice(first, first + 2).reduce(
    ({ text, rest }, [length, unit]) => {
      const count = Math.floor(rest / length);
      return { text: count ? `${text} ${count} ${unit}` : text, rest: rest % length };
    },
    { text: "", rest: whole },
  ).text.trim();
}
