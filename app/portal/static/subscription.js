// A caller's own subscription: its state, its limits, its usage, its keys.

import { call, Problem, withKey } from "./api.js";
import { chart, firstDay, lastDays, usageTable } from "./chart.js";
import { byId, copyButton } from "./dom.js";
import { bindKey, currentKey, keepKey, onKey } from "./key.js";
import { facts, leftBars, limitLines } from "./limits.js";
import { showProblem } from "./problem.js";

let days = [];
let shown = null;
let wanted = null;

bindKey();
byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
byId("forget").addEventListener("click", () => {
  keepKey("");
  forgetNewKey();
  byId("state").textContent = "The key is forgotten.";
  byId("key").focus();
});
byId("refresh").addEventListener("click", load);
byId("measure").addEventListener("change", draw);
addEventListener("resize", () => shown && draw());
for (const button of document.querySelectorAll("[data-rotate]")) button.addEventListener("click", () => ask(button));
byId("confirm-no").addEventListener("click", () => endAsking());
byId("confirm-yes").addEventListener("click", replace);
copyButton(byId("new-key-copy"), () => byId("new-key-value").value, byId("copied"));
onKey(() => {
  byId("subscription").hidden = true;
  showProblem(byId("problem"), null);
});
if (currentKey()) load();

async function fetchOwn(path, options = {}) {
  const response = await call(path, { ...options, headers: withKey(currentKey()) });
  return response.json();
}

async function load() {
  showProblem(byId("problem"), null);
  if (!currentKey()) {
    byId("state").textContent = "Enter your subscription key.";
    byId("key").focus();
    return;
  }
  byId("state").textContent = "Asking …";
  try {
    const [subscription, usage] = await Promise.all([
      fetchOwn("/me/subscription"),
      fetchOwn(`/me/usage?by=day&since=${firstDay()}`),
    ]);
    show(subscription, usage);
    byId("state").textContent = "";
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("subscription").hidden = true;
    byId("state").textContent = "";
    showProblem(byId("problem"), error);
  }
}

function show(subscription, usage) {
  shown = subscription;
  byId("about").replaceChildren(...facts([
    ["Name", subscription.displayName],
    ["State", subscription.state],
    ["Product", subscription.product ?? "all products"],
    ["Since", day(subscription.startDate)],
    ["Until", day(subscription.expirationDate) ?? "no end"],
  ].filter(([, text]) => text)));
  const lines = limitLines(subscription.limits);
  const list = document.createElement("dl");
  list.className = "facts";
  list.append(...facts(lines.length ? lines : [["Limits", "none"]]));
  byId("limits").replaceChildren(list, ...leftBars(subscription.left));
  byId("key-used").textContent = subscription.keyUsed;
  days = lastDays(usage.value);
  byId("subscription").hidden = false;
  draw();
}

const day = (moment) => moment?.slice(0, 10) ?? null;

function draw() {
  const measure = byId("measure");
  byId("chart").replaceChildren(chart(days, measure.value, measure.selectedOptions[0].textContent, byId("chart").clientWidth));
  byId("usage-table").replaceChildren(usageTable(days));
}

function ask(button) {
  wanted = button;
  const slot = button.dataset.rotate;
  const own = slot === shown.keyUsed ? " It is the key that you are using here: this tab will go on with the new one." : "";
  byId("confirm-text").textContent = `Replace the ${slot} key? Programs that have it will be refused from now on.${own}`;
  byId("confirm").hidden = false;
  byId("confirm-yes").focus();
}

function endAsking() {
  byId("confirm").hidden = true;
  wanted?.focus();
}

function forgetNewKey() {
  byId("new-key").hidden = true;
  byId("new-key-value").value = "";
}

async function replace() {
  const slot = wanted.dataset.rotate;
  showProblem(byId("key-problem"), null);
  forgetNewKey();
  byId("confirm-yes").disabled = true;
  try {
    const answer = await fetchOwn("/me/regenerateKey", { method: "POST", body: { key: slot } });
    const key = answer[`${slot}Key`];
    if (slot === shown.keyUsed) {
      keepKey(key);
      await load();
    }
    byId("new-key-text").textContent = `Your new ${slot} key, shown this once. Keep it where nobody else looks.`;
    byId("new-key-value").value = key;
    byId("new-key").hidden = false;
    endAsking();
    byId("new-key-value").focus();
    byId("new-key-value").select();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    endAsking();
    showProblem(byId("key-problem"), error);
  } finally {
    byId("confirm-yes").disabled = false;
  }
}
