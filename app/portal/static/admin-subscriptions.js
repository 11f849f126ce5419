// Subscriptions: a table with what is done often, a form for the rest, and their keys, shown once.

import { askTwice, button, closable, idOf, table, twice } from "./admin-parts.js";
import { Problem } from "./api.js";
import { byId, copyButton, el } from "./dom.js";
import { guarded, manage, read } from "./manage.js";

const PAGE = 1000; // the most that management gives at a time
const ALL = "/apis";

let open = null; // what the form is about: `{id, etag, was}`
let changed = () => {};

/** Set up the forms; `then` is called when something has changed. */
export function installSubscriptions(then) {
  changed = then;
  closable("subscription-dialog");
  byId("make-name").addEventListener("input", () => {
    byId("make-id").value = idOf(byId("make-name").value);
  });
  byId("make").addEventListener("submit", (event) => {
    event.preventDefault();
    guarded("subscriptions-problem", make);
  });
  byId("subscription-form").addEventListener("submit", (event) => {
    event.preventDefault();
    finish(save);
  });
  askTwice(byId("delete-subscription"), () => finish(remove));
}

const field = (name) => byId(`subscription-${name}`);

/** The products that a subscription can be for. */
export function offerProducts(names) {
  const options = () => names.map((name) => el("option", { value: `/products/${name}` }, name));
  for (const id of ["make-scope", "subscription-scope"]) {
    const chosen = byId(id).value;
    byId(id).replaceChildren(...options(), el("option", { value: ALL }, "all products, without limits"));
    if ([...byId(id).options].some(({ value }) => value === chosen)) byId(id).value = chosen;
  }
}

export async function loadSubscriptions() {
  const { value } = await manage(`/subscriptions?$top=${PAGE}`);
  byId("subscriptions").replaceChildren(table(["Subscription", "Product", "State", "Change"], value.map(row)));
  return value.map(({ name }) => name);
}

function row({ name, properties }) {
  const { scope, state, expirationDate } = properties;
  const act = (action) => () => guarded("subscriptions-problem", action);
  return [
    el("span", {}, el("code", {}, name), ` ${properties.displayName}`),
    scope === ALL ? "all products" : scope.replace("/products/", ""),
    expirationDate ? `${state}, until ${expirationDate.slice(0, 16).replace("T", " ")} UTC` : state,
    el("div", { class: "row-actions" },
      button("Edit", name, act(() => edit(name))),
      state === "active"
        ? twice("Suspend", name, act(() => change(name, "suspended")))
        : twice("Activate", name, act(() => change(name, "active"))),
      twice("New primary key", name, act(() => regenerate(name, "Primary"))),
      twice("New secondary key", name, act(() => regenerate(name, "Secondary")))),
  ];
}

async function change(name, state) {
  await manage(`/subscriptions/${name}`, { method: "PATCH", body: { properties: { state } }, headers: { "If-Match": "*" } });
  await changed();
}

async function regenerate(name, slot) {
  const answer = await manage(`/subscriptions/${name}/regenerate${slot}Key`, { method: "POST" });
  showKeys(`The new ${slot.toLowerCase()} key of ${name}, shown this once. The old one is void.`, answer);
  await changed();
}

async function edit(id) {
  const { properties, etag } = await read(`/subscriptions/${id}`);
  open = { id, etag, was: properties };
  byId("subscription-title").textContent = `Subscription ${id}`;
  field("displayName").value = properties.displayName;
  field("scope").value = properties.scope;
  field("state").value = properties.state;
  field("expires").value = shortened(properties.expirationDate);
  guarded("subscription-problem", () => {}); // what was shown there is of the one before
  byId("subscription-dialog").showModal();
}

/** As the input has it: UTC, to the minute. */
const shortened = (moment) => moment?.slice(0, 16) ?? "";

/** Do it, and close the form where it went well. */
async function finish(action) {
  if (!(await guarded("subscription-problem", action))) return;
  byId("subscription-dialog").close();
  await changed();
}

async function save() {
  const { was } = open;
  const properties = { displayName: field("displayName").value.trim(), scope: field("scope").value };
  if (field("state").value !== was.state) properties.state = field("state").value;
  // Only if it was touched: the input has no seconds, and a date that is over may stay but not be set.
  const expires = field("expires").value;
  if (expires !== shortened(was.expirationDate)) properties.expirationDate = expires ? `${expires}:00Z` : null;
  await manage(`/subscriptions/${open.id}`, { method: "PATCH", body: { properties }, headers: { "If-Match": open.etag } });
}

async function remove() {
  await manage(`/subscriptions/${open.id}`, { method: "DELETE", headers: { "If-Match": open.etag } });
}

async function make() {
  const id = byId("make-id").value.trim();
  if (!id) {
    byId("make-name").focus();
    throw new Problem(0, "Give the subscription a name and an id.");
  }
  const properties = { displayName: byId("make-name").value.trim() || id, scope: byId("make-scope").value, state: "active" };
  // Only a new one: the name of one that is there must not replace it.
  const made = await manage(`/subscriptions/${encodeURIComponent(id)}`, {
    method: "PUT", body: { properties }, headers: { "If-None-Match": "*" },
  });
  byId("make").reset();
  showKeys(`The keys of ${id}, shown this once.`, made.properties);
  await changed();
}

function showKeys(text, { primaryKey, secondaryKey }) {
  const lines = [["Primary key", primaryKey], ["Secondary key", secondaryKey]].filter(([, key]) => key);
  byId("new-keys-text").textContent = text;
  byId("new-keys-list").replaceChildren(...lines.map(([label, key]) => {
    const input = el("input", { readonly: true, "aria-label": label });
    input.value = key;
    const copy = el("button", { type: "button", class: "quiet" }, "Copy");
    copyButton(copy, () => key, byId("copied"));
    return el("div", { class: "field" }, el("div", { class: "joined" }, input, copy));
  }));
  byId("new-keys").hidden = false;
}

export function hideKeys() {
  byId("new-keys").hidden = true;
  byId("new-keys-list").replaceChildren();
}
