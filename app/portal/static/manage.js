// Calls of management with the admin token, which is in this tab's storage and nowhere else.

import { call, Problem } from "./api.js";
import { byId } from "./dom.js";
import { showProblem } from "./problem.js";

const NAME = "admin-token";

export const token = () => sessionStorage.getItem(NAME) ?? "";
export const keepToken = (text) => sessionStorage.setItem(NAME, text);
export const forgetToken = () => sessionStorage.removeItem(NAME);

const ask = (path, { headers, ...options }) =>
  call(`/management${path}`, { ...options, headers: { Authorization: `Bearer ${token()}`, ...headers } });

/** What management answers; null where there is nothing. */
export async function manage(path, options = {}) {
  const response = await ask(path, options);
  return response.status === 204 ? null : response.json();
}

/** A resource's properties, and the ETag that a change of just these has to name. */
export async function read(path) {
  const response = await ask(path, {});
  return { properties: (await response.json()).properties, etag: response.headers.get("ETag") };
}

/** Do something, and show in `box` what went wrong with it; whether it went well. */
export async function guarded(box, action) {
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
