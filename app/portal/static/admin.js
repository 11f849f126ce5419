// The operator's page: who may call, what was used, and how the engine is doing.

import { loadProducts, installProducts } from "./admin-products.js";
import { hideKeys, installSubscriptions, loadSubscriptions, offerProducts } from "./admin-subscriptions.js";
import { chart, firstDay, lastDays, usageTable } from "./chart.js";
import { byId, el } from "./dom.js";
import { forgetToken, guarded, keepToken, manage, token } from "./manage.js";

const PAUSE = 2000;

let days = [];
let watching;
let watches = 0; // each watch has a number: one that waits for an answer cannot be stopped otherwise

byId("token").value = token();
byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  load();
});
byId("forget").addEventListener("click", () => {
  forgetToken();
  byId("token").value = "";
  byId("operator").hidden = true;
  stopWatching();
  hideKeys();
});
byId("refresh").addEventListener("click", () => guarded("problem", loadUsage));
byId("whose").addEventListener("change", () => guarded("problem", loadUsage));
byId("measure").addEventListener("change", draw);
addEventListener("resize", () => days.length && draw());
installProducts(() => guarded("problem", loadCallers));
installSubscriptions(() => guarded("problem", loadCallers));
if (token()) load();

async function load() {
  if (!token()) {
    byId("state").textContent = "Enter the admin token.";
    byId("token").focus();
    return;
  }
  byId("state").textContent = "";
  byId("operator").hidden = !(await guarded("problem", loadAll));
  if (!byId("operator").hidden) draw();
}

async function loadAll() {
  await loadCallers();
  byId("operator").hidden = false;
  await loadUsage();
  stopWatching();
  watch(watches);
}

async function loadCallers() {
  offerProducts(await loadProducts());
  const names = await loadSubscriptions();
  const whose = byId("whose");
  const chosen = whose.value;
  whose.replaceChildren(whose.options[0], ...names.map((name) => el("option", { value: name }, name)));
  whose.value = names.includes(chosen) ? chosen : "";
}

async function loadUsage() {
  const whose = byId("whose").value;
  const of = whose ? `&subscription=${encodeURIComponent(whose)}` : "";
  days = lastDays((await manage(`/usage?by=day&since=${firstDay()}${of}`)).value);
  draw();
}

function draw() {
  const measure = byId("measure");
  byId("chart").replaceChildren(chart(days, measure.value, measure.selectedOptions[0].textContent, byId("chart").clientWidth));
  byId("usage-table").replaceChildren(usageTable(days));
}

/** Ask how the engine is doing again and again, as long as somebody looks. */
async function watch(number) {
  if (!document.hidden) await guarded("engine-problem", async () => show(await manage("/engine")));
  if (number === watches) watching = setTimeout(watch, PAUSE, number);
}

function stopWatching() {
  watches += 1;
  clearTimeout(watching);
}

function show(found) {
  const percent = (share) => `${(share * 100).toLocaleString("en", { maximumFractionDigits: 1 })}%`;
  const figures = {
    state: found.ready ? found.state : `${found.state}, step ${found.step} of ${found.steps}`,
    running: found.requestsRunning,
    waiting: found.requestsWaiting,
    cache: found.kvCacheUsage === null ? null : percent(found.kvCacheUsage),
    tokens: found.tokensPerSecond === null ? null : Math.round(found.tokensPerSecond).toLocaleString("en"),
    calls: found.requestsInProgress,
  };
  for (const [name, value] of Object.entries(figures)) {
    document.querySelector(`[data-figure="${name}"]`).textContent = value ?? "–" /* not known while the engine is away */;
  }
}
