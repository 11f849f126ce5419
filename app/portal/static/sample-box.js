// The samples of a page: languages to choose from, the code, how to run it, and a button that copies it.

import { byId, copyButton, el } from "./dom.js";
import { currentKey, onKey } from "./key.js";
import { samples } from "./samples.js";

const CHOSEN = "sample-language";

/** Shows samples of the call that `read` gives, and gives back what shows them anew. */
export function sampleBox(read, keyed) {
  const withKey = byId("with-key");
  byId("with-key-label").hidden = !keyed;

  function show() {
    const found = samples({ ...read(), origin: location.origin, keyed, key: (withKey.checked && currentKey()) || null });
    const wanted = sessionStorage.getItem(CHOSEN);
    const chosen = found.find(({ id }) => id === wanted) ?? found[0];
    offer(found, chosen.id);
    byId("run").textContent = chosen.run;
    byId("code").firstElementChild.textContent = chosen.code;
  }

  function offer(found, chosen) {
    const pills = byId("languages");
    if (pills.children.length !== found.length) {
      pills.replaceChildren(...found.map(({ id, label }) =>
        el("label", {}, el("input", { type: "radio", name: "language", value: id }), el("span", {}, label))));
    }
    for (const input of pills.querySelectorAll("input")) input.checked = input.value === chosen;
  }

  byId("languages").addEventListener("change", (event) => {
    sessionStorage.setItem(CHOSEN, event.target.value);
    show();
  });
  withKey.addEventListener("change", show);
  onKey(show);
  copyButton(byId("copy"), () => byId("code").textContent, byId("copied"));
  show();
  return show;
}
