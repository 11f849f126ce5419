// Limits in words, and what is left of them as bars.

import { el } from "./dom.js";
import { duration } from "./problem.js";

const NAMES = {
  rate: "Calls",
  callQuota: "Calls in a period",
  tokensPerMinute: "Tokens a minute",
  tokenQuota: "Tokens in a period",
  maxConcurrency: "Calls at a time",
};

/** The limits of a product, as lines of text; none where there are none. */
export function limitLines(limits) {
  const count = (number) => number.toLocaleString("en");
  const found = [];
  if (limits.rate) found.push(["Calls", `${count(limits.rate.calls)} in any ${duration(limits.rate.seconds)}`]);
  if (limits.callQuota) found.push(["Calls in a period", `${count(limits.callQuota.amount)}, ${period(limits.callQuota)}`]);
  if (limits.tokensPerMinute) found.push(["Tokens a minute", count(limits.tokensPerMinute)]);
  if (limits.tokenQuota) found.push(["Tokens in a period", `${count(limits.tokenQuota.amount)}, ${period(limits.tokenQuota)}`]);
  if (limits.maxConcurrency) found.push(["Calls at a time", count(limits.maxConcurrency)]);
  if (limits.maxTokens) found.push(["Longest answer", `${count(limits.maxTokens)} tokens`]);
  if (limits.models) found.push(["Models", limits.models.join(", ")]);
  if (limits.priority !== null) found.push(["Priority", String(limits.priority)]);
  return found;
}

const period = (quota) => (quota.period === "lifetime" ? "once" : `each ${quota.period}`);

/** What is left now. */
export function leftBars(left) {
  return Object.entries(left).map(([name, { limit, remaining, resetSeconds }]) => {
    const shown = Math.max(0, remaining);
    const reset = resetText(name, resetSeconds);
    const text = `${shown.toLocaleString("en")} of ${limit.toLocaleString("en")} left`;
    return el("div", { class: "left", "data-left": name },
      el("p", {}, el("span", {}, NAMES[name]), el("span", { class: "soft" }, [text, reset].filter(Boolean).join(", "))),
      el("meter", { min: 0, max: limit, value: shown, low: limit / 10, "aria-label": `${NAMES[name]}: ${text}` }));
  });
}

function resetText(name, seconds) {
  if (seconds === null) return null;
  if (name !== "rate") return `anew in ${duration(seconds)}`;
  return seconds > 0 ? `one more in ${duration(seconds)}` : null;
}

/** A list of names and texts, as the children of a `dl`. */
export const facts = (lines) => lines.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)));
