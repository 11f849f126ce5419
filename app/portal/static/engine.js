// Whether a prompt would be answered, in the head of every page: asked once, and again as long as the answer is no.

import { byId } from "./dom.js";

const PAUSE = 1000;
const waiting = new Set();
let asking = false;

/** What the gateway says of its engine: `{ready, text, step, steps}`. Never throws. */
export async function engineState() {
  try {
    const response = await fetch("/health/ready", { cache: "no-store", credentials: "omit" });
    const { phase, step, steps } = await response.json();
    if (response.ok) return { ready: true, text: "Model ready" };
    return { ready: false, text: `Model ${phase}: step ${step} of ${steps}`, step, steps };
  } catch {
    return { ready: false, text: "Gateway not reached" };
  }
}

/** Ask until the model is ready; `listener` gets each state. */
export function followEngine(listener) {
  waiting.add(listener);
  if (!asking) ask();
}

async function ask() {
  asking = true;
  const state = await engineState();
  const pill = byId("engine");
  pill.dataset.state = state.ready ? "ready" : "waiting";
  if (byId("engine-text").textContent !== state.text) byId("engine-text").textContent = state.text;
  for (const listener of waiting) listener(state);
  if (state.ready) {
    waiting.clear();
    asking = false;
  } else {
    setTimeout(ask, PAUSE);
  }
}
