// Usage by day as bars, and as the table that says the same.

import { el, svg } from "./dom.js";

const HEIGHT = 220;
const LEFT = 56;
const NARROWEST = 280;
const LABEL = 56; // pixels that the name of a day needs
const BOTTOM = 28;
const TOP = 12;
const DAYS = 14;

/** The last days, the oldest first, each with its row or with zeros. Days are UTC's, as in the ledger. */
export function lastDays(rows, today = new Date(), count = DAYS) {
  const byDay = new Map(rows.map((row) => [row.day, row]));
  return Array.from({ length: count }, (_, index) => {
    const day = new Date(today.getTime() - (count - 1 - index) * 86_400_000).toISOString().slice(0, 10);
    return byDay.get(day) ?? { day, calls: 0, failedCalls: 0, promptTokens: 0, completionTokens: 0, totalTokens: 0 };
  });
}

/** The day since which `lastDays` shows. */
export const firstDay = () => lastDays([])[0].day;

/** Bars of one measure, so many pixels wide. */
export function chart(days, measure, unit, space) {
  const width = Math.max(NARROWEST, Math.floor(space));
  const highest = ceiling(Math.max(...days.map((day) => day[measure])));
  const total = days.reduce((sum, day) => sum + day[measure], 0);
  const step = (width - LEFT) / days.length;
  const height = (value) => ((HEIGHT - TOP - BOTTOM) * value) / highest;
  const every = Math.ceil(LABEL / step);
  const title = `${total.toLocaleString("en")} ${unit} in the last ${days.length} days`;
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${title}. The table below has the figures.` },
    ...[0, 0.5, 1].map((part) => line(height(highest * part), width, (highest * part).toLocaleString("en"))),
    ...days.map((day, index) => bar(day, day[measure], LEFT + index * step, step, height(day[measure]), unit, (days.length - 1 - index) % every === 0)));
}

function line(height, width, text) {
  const y = HEIGHT - BOTTOM - height;
  return svg("g", {},
    svg("line", { x1: LEFT, x2: width, y1: y, y2: y, class: "rule" }),
    svg("text", { x: LEFT - 8, y: y + 4, class: "tick", "text-anchor": "end" }, text));
}

function bar({ day }, value, x, step, height, unit, named) {
  const name = new Date(day).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
  return svg("g", { "data-day": day, "data-value": value },
    svg("title", {}, `${day}: ${value.toLocaleString("en")} ${unit}`),
    svg("rect", { x: x + step * 0.18, y: HEIGHT - BOTTOM - Math.max(height, value ? 2 : 0), width: step * 0.64, height: Math.max(height, value ? 2 : 0), rx: 3, class: "bar" }),
    named ? svg("text", { x: x + step / 2, y: HEIGHT - 8, class: "tick", "text-anchor": "middle" }, name) : null);
}

/** A round number that is at least so high, and never 0: halves of it are whole. */
function ceiling(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((candidate) => candidate >= value);
}

const COLUMNS = [
  ["calls", "Calls"],
  ["failedCalls", "Failed"],
  ["promptTokens", "Tokens read"],
  ["completionTokens", "Tokens written"],
  ["totalTokens", "Tokens"],
];

/** The same as a table, the newest day first. */
export function usageTable(days) {
  return el("table", {},
    el("caption", { class: "visually-hidden" }, "Usage by day"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Day"), ...COLUMNS.map(([, text]) => el("th", { scope: "col", class: "number" }, text)))),
    el("tbody", {}, ...[...days].reverse().map((day) =>
      el("tr", {}, el("th", { scope: "row" }, day.day), ...COLUMNS.map(([name]) => el("td", { class: "number" }, day[name].toLocaleString("en")))))));
}
