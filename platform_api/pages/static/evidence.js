// Evidence as the stream wrote it: numbers become a list, a run of readings a small plot.
import { formatNumber, formatTime, t } from "./texts.js";

const FACTS_MAX = 8;
const POINTS_MAX = 240;

export function showFacts(list, evidence) {
  const facts = Object.entries(evidence).filter(([, value]) => ["number", "string", "boolean"].includes(typeof value));
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

function factText(key, value) {
  if (typeof value !== "number") return String(value);
  return /_(ms|at)$/.test(key) && value > 1e11 ? formatTime(value) : formatNumber(value);
}

// [v, …], [[ms, v], …] and {"values": […]} are all runs of readings.
function readings(value) {
  if (!Array.isArray(value)) return value && Array.isArray(value.values) ? readings(value.values) : [];
  return value.slice(-POINTS_MAX).map((item) => (Array.isArray(item) ? item.at(-1) : item)).filter(Number.isFinite);
}
