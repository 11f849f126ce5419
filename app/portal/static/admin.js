// The operator's page: management and metrics, with the admin token in this tab's storage and nowhere else.

import { call, Problem } from "./api.js";
import { chart, firstDay, lastDays, usageTable } from "./chart.js";
import { byId, copyButton, el } from "./dom.js";
import { limitLines } from "./limits.js";
import { Rates, readMetrics } from "./metrics.js";
import { showProblem } from "./problem.js";

const NAME = "admin-token";
const PAUSE = 2000;
const PAGE = 1000; // the most that management gives at a time

const token = () => sessionStorage.getItem(NAME) ?? "";
const rates = new Rates();
let days = [];
let watching;

byId("token").value = token();
byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(NAME, byId("token").value.trim());
  load();
});
byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(NAME);
  byId("token").value = "";
  byId("operator").hidden = true;
  clearTimeout(watching);
  hideKeys();
});
byId("refresh").addEventListener("click", () => guarded("problem", loadUsage));
byId("whose").addEventListener("change", () => guarded("problem", loadUsage));
byId("measure").addEventListener("change", draw);
addEventListener("resize", () => days.length && draw());
byId("make-name").addEventListener("input", () => {
  byId("make-id").value = byId("make-name").value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
});
byId("make").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded("subscription-problem", make);
});
if (token()) load();

async function manage(path, options = {}) {
  const response = await call(`/management${path}`, {
    ...options,
    headers: { Authorization: `Bearer ${token()}`, ...options.headers },
  });
  return response.json();
}

/** Do something, and show in `box` what went wrong with it. */
async function guarded(box, action) {
  showProblem(byId(box), null);
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(byId(box), error);
    return false;
  }
}

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
  await loadProducts();
  await loadSubscriptions();
  byId("operator").hidden = false;
  await loadUsage();
  clearTimeout(watching);
  watch();
}

async function loadProducts() {
  const { value } = await manage(`/products?$top=${PAGE}`);
  byId("products").replaceChildren(table(["Product", "Limits"], value.map(({ name, properties }) => [
    el("span", {}, el("code", {}, name), ` ${properties.displayName}`),
    limitLines(properties).map(([what, limit]) => `${what}: ${limit}`).join("; ") || "none",
  ])));
  byId("make-product").replaceChildren(...value.map(({ name }) => el("option", { value: name }, name)));
}

async function loadSubscriptions() {
  const { value } = await manage(`/subscriptions?$top=${PAGE}`);
  byId("subscriptions").replaceChildren(table(["Subscription", "Product", "State", "Change"], value.map(row)));
  const chosen = byId("whose").value;
  byId("whose").replaceChildren(byId("whose").options[0], ...value.map(({ name }) => el("option", { value: name }, name)));
  byId("whose").value = value.some(({ name }) => name === chosen) ? chosen : "";
}

function row({ name, properties }) {
  const product = properties.scope.replace("/products/", "");
  return [
    el("span", {}, el("code", {}, name), ` ${properties.displayName}`),
    product === "/apis" ? "all products" : product,
    properties.state,
    el("div", { class: "row-actions" },
      properties.state === "active"
        ? action("Suspend", name, () => change(name, "suspended"))
        : action("Activate", name, () => change(name, "active")),
      action("New primary key", name, () => regenerate(name, "Primary")),
      action("New secondary key", name, () => regenerate(name, "Secondary"))),
  ];
}

/** A button that asks once more before it does what cannot be undone. */
function action(text, name, act) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": `${text}: ${name}` }, text);
  button.addEventListener("click", () => {
    if (button.dataset.sure) {
      guarded("subscription-problem", act);
      return;
    }
    button.dataset.sure = "yes";
    button.textContent = `${text}? Click again`;
    button.setAttribute("aria-label", `${text}: ${name}? Press again to do it`);
    button.addEventListener("blur", () => {
      delete button.dataset.sure;
      button.textContent = text;
      button.setAttribute("aria-label", `${text}: ${name}`);
    }, { once: true });
  });
  return button;
}

async function change(name, state) {
  await manage(`/subscriptions/${name}`, { method: "PATCH", body: { properties: { state } }, headers: { "If-Match": "*" } });
  await loadSubscriptions();
}

async function regenerate(name, slot) {
  const answer = await manage(`/subscriptions/${name}/regenerate${slot}Key`, { method: "POST" });
  showKeys(`The new ${slot.toLowerCase()} key of ${name}, shown this once. The old one is void.`, answer);
  await loadSubscriptions();
}

async function make() {
  const id = byId("make-id").value.trim();
  if (!id) {
    byId("make-name").focus();
    throw new Problem(0, "Give the subscription a name and an id.");
  }
  const properties = {
    displayName: byId("make-name").value.trim() || id,
    scope: `/products/${byId("make-product").value}`,
    state: "active",
  };
  // Only a new one: the name of one that is there must not replace it.
  const made = await manage(`/subscriptions/${encodeURIComponent(id)}`, {
    method: "PUT", body: { properties }, headers: { "If-None-Match": "*" },
  });
  byId("make").reset();
  showKeys(`The keys of ${id}, shown this once.`, made.properties);
  await loadSubscriptions();
}

function showKeys(text, { primaryKey, secondaryKey }) {
  const lines = [["Primary key", primaryKey], ["Secondary key", secondaryKey]].filter(([, key]) => key);
  byId("new-keys-text").textContent = text;
  byId("new-keys-list").replaceChildren(...lines.map(([label, key]) => {
    const input = el("input", { readonly: true, "aria-label": label });
    input.value = key;
    const button = el("button", { type: "button", class: "quiet" }, "Copy");
    copyButton(button, () => key, byId("copied"));
    return el("div", { class: "field" }, el("div", { class: "joined" }, input, button));
  }));
  byId("new-keys").hidden = false;
}

function hideKeys() {
  byId("new-keys").hidden = true;
  byId("new-keys-list").replaceChildren();
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

/** Ask for the engine's figures again and again, as long as somebody looks. */
async function watch() {
  if (!document.hidden) {
    await guarded("problem", async () => {
      const response = await call("/metrics");
      show(rates.figures(readMetrics(await response.text()), performance.now()));
    });
  }
  watching = setTimeout(watch, PAUSE);
}

function show(figures) {
  for (const [name, value] of Object.entries(figures)) {
    document.querySelector(`[data-figure="${name}"]`).textContent = value ?? "–" /* not known while the engine is away */;
  }
}

function table(heads, rows) {
  return el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((cell) => el("td", {}, cell))))));
}
