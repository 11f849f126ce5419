// What the operator's tables and forms are made of.

import { byId, el } from "./dom.js";

export function table(heads, rows) {
  return el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((cell) => el("td", {}, cell))))));
}

/** A button of a row. */
export function button(text, name, act) {
  const found = el("button", { type: "button", class: "quiet", "aria-label": `${text}: ${name}` }, text);
  found.addEventListener("click", act);
  return found;
}

/** A button that asks once more before it does what cannot be undone. */
export function twice(text, name, act) {
  const found = button(text, name, () => {});
  askTwice(found, act, name);
  return found;
}

/** Have a button ask once more; it forgets that it has when somebody turns to something else. */
export function askTwice(found, act, name = "") {
  const text = found.textContent;
  const label = name && `: ${name}`;
  found.addEventListener("click", () => {
    if (found.dataset.sure) {
      act();
      return;
    }
    found.dataset.sure = "yes";
    found.textContent = `${text}? Click again`;
    found.setAttribute("aria-label", `${text}${label}? Press again to do it`);
    found.addEventListener("blur", () => {
      delete found.dataset.sure;
      found.textContent = text;
      found.setAttribute("aria-label", `${text}${label}`);
    }, { once: true });
  });
}

/** Have a dialog's buttons of the class `close` close it. The browser keeps the focus in it, and takes Escape. */
export function closable(id) {
  for (const found of byId(id).querySelectorAll(".close")) found.addEventListener("click", () => byId(id).close());
}

/** An id that a name suggests. */
export const idOf = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
