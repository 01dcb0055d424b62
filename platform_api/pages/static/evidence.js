// Evidence as the stream wrote it: numbers become a list, a run of readings a small plot.
import { formatNumber, formatTime, t } from "./texts.js";

const FACTS_MAX = 8;
const POINTS_MAX = 240;
// Facts that are one of our own words, not text of a device.
const NAMED = ["why", "direction"];

export function showFacts(list, evidence) {
  const facts = Object.entries(evidence).filter(([, value]) => isFact(value));
  list.replaceChildren(...facts.slice(0, FACTS_MAX).map(([key, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    term.textContent = t(key);
    const detail = document.createElement("dd");
    detail.textContent = factText(key, value);
    pair.append(term, detail);
    return pair;
  }));
}

/** Draw the first run of readings in the evidence; nothing is shown without one. */
export function showPlot(svg, evidence) {
  const values = Object.values(evidence).map(readings).find((found) => found.length > 1);
  svg.toggleAttribute("hidden", !values);
  if (!values) return;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const points = values.map((value, i) => `${(i / (values.length - 1)) * 240},${38 - ((value - low) / span) * 36}`);
  svg.querySelector("polyline").setAttribute("points", points.join(" "));
}

function isFact(value) {
  return ["number", "string", "boolean"].includes(typeof value) || isCounts(value);
}

// {"gateway/slot": units, …}
function isCounts(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0
    && Object.values(value).every(Number.isFinite);
}

function factText(key, value) {
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (isCounts(value)) {
    return Object.entries(value).slice(0, FACTS_MAX).map(([place, units]) => `${place.split("/").at(-1)} ${formatNumber(units)}`).join(" · ");
  }
  if (NAMED.includes(key)) return t(value);
  if (typeof value !== "number") return String(value);
  return /_(ms|at)$/.test(key) && value > 1e11 ? formatTime(value) : formatNumber(value);
}

// [v, …], [[ms, v], …] and [{"t_ms": ms, "value": v}, …] are all runs of readings.
function readings(value) {
  if (!Array.isArray(value)) return [];
  return value.slice(-POINTS_MAX).map(valueOf).filter(Number.isFinite);
}

function valueOf(item) {
  if (Array.isArray(item)) return item.at(-1);
  return item !== null && typeof item === "object" ? item.value : item;
}
