// Products: their limits as a table, and a form that makes one, changes one or takes one away.

import { askTwice, button, closable, idOf, table } from "./admin-parts.js";
import { Problem } from "./api.js";
import { byId, el } from "./dom.js";
import { limitLines } from "./limits.js";
import { guarded, manage, read } from "./manage.js";

const PAGE = 1000; // the most that management gives at a time
const NUMBERS = ["tokensPerMinute", "maxConcurrency", "maxTokens", "priority"];
const QUOTAS = ["callQuota", "tokenQuota"];

let open = null; // what the form is about: `{id, etag}`; without an ETag it is new
let changed = () => {};

/** Set up the form; `then` is called when something has changed. */
export function installProducts(then) {
  changed = then;
  closable("product-dialog");
  byId("new-product").addEventListener("click", () => show({ id: null, etag: null }, {}));
  field("displayName").addEventListener("input", () => {
    if (!open.etag) field("id").value = idOf(field("displayName").value);
  });
  byId("product-form").addEventListener("submit", (event) => {
    event.preventDefault();
    finish(save);
  });
  askTwice(byId("delete-product"), () => finish(remove));
}

const field = (name) => byId(`product-${name}`);

export async function loadProducts() {
  const { value } = await manage(`/products?$top=${PAGE}`);
  byId("products").replaceChildren(table(["Product", "Limits", "Change"], value.map(({ name, properties }) => [
    el("span", {}, el("code", {}, name), ` ${properties.displayName}`),
    limitLines(properties).map(([what, limit]) => `${what}: ${limit}`).join("; ") || "none",
    el("div", { class: "row-actions" }, button("Edit", name, () => guarded("products-problem", () => edit(name)))),
  ])));
  return value.map(({ name }) => name);
}

async function edit(id) {
  const { properties, etag } = await read(`/products/${id}`);
  show({ id, etag }, properties);
}

function show(about, properties) {
  open = about;
  const isNew = !about.etag;
  byId("product-title").textContent = isNew ? "A new product" : `Product ${about.id}`;
  byId("product-form").reset();
  field("id").value = about.id ?? "";
  field("id").readOnly = !isNew;
  byId("product-removal").hidden = isNew;
  field("displayName").value = properties.displayName ?? "";
  field("rate-calls").value = properties.rate?.calls ?? "";
  field("rate-seconds").value = properties.rate?.seconds ?? 60;
  for (const name of NUMBERS) field(name).value = properties[name] ?? "";
  for (const name of QUOTAS) {
    field(`${name}-amount`).value = properties[name]?.amount ?? "";
    field(`${name}-period`).value = properties[name]?.period ?? "day";
  }
  field("models").value = properties.models?.join(", ") ?? "";
  field("sharedCache").checked = properties.sharedCache ?? false;
  guarded("product-problem", () => {}); // what was shown there is of the one before
  byId("product-dialog").showModal();
}

/** Do it, and close the form where it went well. */
async function finish(action) {
  if (!(await guarded("product-problem", action))) return;
  byId("product-dialog").close();
  await changed();
}

async function save() {
  const id = field("id").value.trim();
  if (!id) throw new Problem(0, "Give the product a name and an id.");
  const options = open.etag
    ? { method: "PATCH", headers: { "If-Match": open.etag } }
    : { method: "PUT", headers: { "If-None-Match": "*" } };
  await manage(`/products/${encodeURIComponent(id)}`, { ...options, body: { properties: written() } });
}

async function remove() {
  const and = field("subscriptions").checked ? "?deleteSubscriptions=true" : "";
  await manage(`/products/${encodeURIComponent(open.id)}${and}`, { method: "DELETE", headers: { "If-Match": open.etag } });
}

/** What the form says; an empty field is no limit. */
function written() {
  const properties = { displayName: field("displayName").value.trim() || field("id").value.trim() };
  const calls = number("rate-calls");
  properties.rate = calls === null ? null : { calls, seconds: number("rate-seconds") ?? 60 };
  for (const name of NUMBERS) properties[name] = number(name);
  for (const name of QUOTAS) {
    const amount = number(`${name}-amount`);
    properties[name] = amount === null ? null : { amount, period: field(`${name}-period`).value };
  }
  const models = field("models").value.split(",").map((name) => name.trim()).filter(Boolean);
  properties.models = models.length ? models : null;
  properties.sharedCache = field("sharedCache").checked;
  return properties;
}

function number(name) {
  const input = field(name);
  if (input.validity.badInput || (input.value && !Number.isSafeInteger(Number(input.value)))) {
    input.focus();
    throw new Problem(0, `${input.labels[0].textContent}: a whole number, please, or nothing.`);
  }
  return input.value === "" ? null : Number(input.value);
}
