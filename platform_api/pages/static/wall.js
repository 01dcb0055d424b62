// The live page: first state from the page itself, then what the stream says.
import { renewSession, request } from "./api.js";
import { Anomalies, Proposals } from "./cards.js";
import { Chart } from "./chart.js";
import { Feed } from "./feed.js";
import { Live } from "./live.js";
import { Shelves } from "./shelves.js";
import { formatNumber, formatWhole, t, useTexts } from "./texts.js";

const TOAST_MS = 5_000;
const LAG_BAD_MS = 30_000;

const given = JSON.parse(document.getElementById("wall-data").textContent);
const nameIndex = given.locale === "zh" ? 0 : 1;
const sites = new Map();
let skus = {};
useTexts(given.texts);

const names = {
  site: (id) => sites.get(id) ?? id,
  sku: (sku) => skus[sku]?.[nameIndex] || sku,
};
const panel = document.getElementById("slot");
const link = document.getElementById("link");
const feed = new Feed(document.getElementById("feed"), names);
const anomalies = new Anomalies(names, toast);
const proposals = new Proposals(names, toast);
const live = new Live({ onDelta: apply, onTotals: showTotals, onValues: addValues, onReset: reload, onState: showLink });
let chart = new Chart(panel);
let shelves = null;

showWall(given.wall);
live.open(given.wall.cursor, chart.series);
panel.addEventListener("htmx:after:settle", changeSlot);
document.addEventListener("htmx:response:error", refusedSlot);
window.addEventListener("pagehide", () => live.close());
window.addEventListener("pageshow", (event) => { if (event.persisted) reload(); });

function showWall(wall) {
  sites.clear();
  for (const site of wall.sites) sites.set(site.id, site.name);
  skus = wall.skus;
  shelves = new Shelves(document.getElementById("sites"), wall, names.sku);
  shelves.choose(chart.slot);
  document.getElementById("sites-empty").hidden = wall.slots.length > 0;
  anomalies.reset(wall.anomalies);
  proposals.reset(wall.proposals);
  feed.reset(wall.events);
  showTotals(wall.totals);
}

async function reload() {
  live.close();
  showLink("reconnecting");
  try {
    const wall = await request("GET", "/v1/live/wall");
    showWall(wall);
    live.open(wall.cursor, chart.series);
  } catch {
    setTimeout(reload, 3_000);
  }
}

function apply({ positions = [], events = [], anomalies: found = [], proposals: suggested = [] }) {
  for (const position of positions) {
    shelves.update(position);
    if (position.slot === chart.slot) chart.showUnits(position.on_shelf);
  }
  // Lists come newest first; what is put on top last stays there.
  for (const event of events.reverse()) {
    feed.add(event);
    if (event.slot === chart.slot) chart.addEvent(event);
  }
  for (const anomaly of found.reverse()) {
    if (anomalies.update(anomaly)) announce(t("new_anomaly", { kind: t(anomaly.kind), place: anomalies.placeOf(anomaly) }));
  }
  for (const proposal of suggested.reverse()) proposals.update(proposal);
}

function addValues(values) {
  for (const [series, at, value] of values) if (series === chart.series) chart.addReading(at, value);
}

function changeSlot() {
  chart.close();
  chart = new Chart(panel);
  shelves.choose(chart.slot);
  panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  live.open(null, chart.series);
}

// The session ran out while the page slept: renewed here, so that the next choice works.
async function refusedSlot(event) {
  const { status } = event.detail.ctx.response;
  if (status === 401) await renewSession();
  toast(t("failed", { reason: status }));
}

function showTotals(totals) {
  const place = (name) => document.querySelector(`[data-total="${name}"]`);
  place("readings_per_s").textContent = formatWhole(totals.readings_per_s);
  showUnit(place("lag_ms"), ...lagText(totals.lag_ms));
  place("lag_ms").dataset.tone = totals.lag_ms > LAG_BAD_MS ? "bad" : "calm";
  showUnit(place("devices"), formatWhole(totals.devices_online), `/ ${formatWhole(totals.devices)}`);
  place("anomalies_open").textContent = formatWhole(totals.anomalies_open);
  place("anomalies_open").dataset.tone = totals.anomalies_open > 0 ? "bad" : "calm";
  place("proposals_live").textContent = formatWhole(totals.proposals_live);
}

function showUnit(place, number, unit) {
  const small = document.createElement("small");
  small.textContent = unit;
  place.replaceChildren(number, small);
}

function lagText(ms) {
  if (ms === null) return ["–", ""];
  if (ms < 60_000) return [formatNumber(Math.round(ms / 100) / 10), "s"];
  return ms < 3_600_000 ? [formatWhole(ms / 60_000), "min"] : [formatWhole(ms / 3_600_000), "h"];
}

function showLink(state) {
  link.dataset.state = state;
  link.lastElementChild.textContent = t(state);
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.hidden = true; }, TOAST_MS);
}
