// What is typed into the form of an operation, as a request.

import { byId } from "./dom.js";

/** What is typed cannot be sent; `input` is where. */
export class TypingError extends Error {
  constructor(input, message) {
    super(message);
    this.input = input;
  }
}

/** The call that a form makes, without its key: `{method, path, body, kind, azure}`. Throws a TypingError. */
export function readForm(form, { lenient = false } = {}) {
  const check = (input, wrong, message) => {
    if (wrong && !lenient) throw new TypingError(input, message);
    return !wrong;
  };
  const { kind, method } = form.dataset;
  const { path, values } = readPath(form, check);
  const azure = path.startsWith("/openai/deployments/")
    ? { deployment: values.deployment, version: values["api-version"] ?? "2024-02-01" }
    : null;
  return { method, path, kind, azure, body: kind === "plain" ? null : readBody(form, kind, check) };
}

function readPath(form, check) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const values = {};
  for (const input of form.querySelectorAll("[data-parameter]")) {
    const { parameter, where } = input.dataset;
    const value = input.value.trim();
    if (where === "path") {
      check(input, !value, `Fill in ${parameter}.`);
      path = path.replace(`{${parameter}}`, value.split("/").map(encodeURIComponent).join("/"));
    } else if (value) {
      query.append(parameter, value);
    }
    if (value) values[parameter] = value;
  }
  return { path: query.size ? `${path}?${query}` : path, values };
}

function readBody(form, kind, check) {
  const prompt = byId("prompt").value;
  const system = byId("system")?.value ?? "";
  check(byId("prompt"), !prompt.trim(), "Type a prompt.");
  const body = {};
  const model = byId("model")?.value;
  if (model) body.model = model;
  if (kind === "chat") {
    body.messages = [{ role: "user", content: prompt }];
    if (system.trim()) body.messages.unshift({ role: "system", content: system });
  } else {
    body.prompt = prompt;
    if (system.trim()) body["system prompt"] = system;
  }
  for (const input of form.querySelectorAll("[data-type]")) readSetting(input, body, check);
  if (byId("stream").checked) {
    body.stream = true;
    if (kind !== "get-data") body.stream_options = { include_usage: true };
  }
  return body;
}

function readSetting(input, body, check) {
  const { setting, type } = input.dataset;
  const text = type === "lines" ? input.value : input.value.trim();
  if (!text) return;
  if (type === "lines") {
    const lines = text.split("\n").filter((line) => line);
    if (lines.length) body[setting] = lines;
  } else if (type === "json" || type === "more") {
    const name = setting ?? "Further fields";
    const found = parse(text);
    if (check(input, found === undefined, `${name} should be JSON.`)) {
      if (type === "json") body[setting] = found;
      else if (check(input, typeof found !== "object" || found === null || Array.isArray(found), `${name} should be a JSON object.`)) Object.assign(body, found);
    }
  } else {
    const number = Number(text);
    const wrong = Number.isNaN(number) || (type === "integer" && !Number.isSafeInteger(number));
    // JavaScript has whole numbers up to 2^53 only: a larger seed would be sent as another one.
    const kind = type === "integer" ? "a whole number, and here below 2^53" : "a number";
    if (check(input, wrong, `${setting} should be ${kind}.`)) body[setting] = number;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
