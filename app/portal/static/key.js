// The subscription key: in this tab's storage and nowhere else.

import { byId } from "./dom.js";

const NAME = "subscription-key";
const listeners = [];

export const currentKey = () => sessionStorage.getItem(NAME) ?? "";

/** Keep a key, or with an empty one forget it; tells those who want to know. */
export function keepKey(key) {
  if (key === currentKey()) return;
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
  const input = byId("key");
  if (input && input.value !== key) input.value = key;
  for (const listener of listeners) listener(key);
}

/** Call a function with each key from now on. */
export const onKey = (listener) => listeners.push(listener);

/** Ties the page's input to the key. */
export function bindKey() {
  const input = byId("key");
  const show = byId("key-show");
  if (!input) return;
  input.value = currentKey();
  input.addEventListener("input", () => keepKey(input.value.trim()));
  show.addEventListener("click", () => {
    const hidden = input.type === "password";
    input.type = hidden ? "text" : "password";
    show.setAttribute("aria-pressed", String(hidden));
  });
}
