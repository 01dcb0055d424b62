// The weight of the chosen slot with its events, over a window that moves with time.
import { signed } from "./feed.js";
import { formatWhole, t } from "./texts.js";

const SLIDE_EVERY_MS = 1_000;
const LABEL_WIDTH = 24;
const RANGE_MIN_MS = 120_000;
const MARKS = { sale: "--sale", remove: "--sale", restock: "--ok", put_back: "--ok" };

export class Chart {
  constructor(panel) {
    this.panel = panel;
    this.place = panel.querySelector(".chart");
    const block = panel.querySelector("#chart-data");
    this.data = block ? JSON.parse(block.textContent) : null;
    if (!this.data) return;
    this.#draw();
    this.sizes = new ResizeObserver(() => this.plot.setSize(this.#size()));
    this.sizes.observe(this.place);
    this.slide = setInterval(() => this.#show(), SLIDE_EVERY_MS);
    this.scheme = window.matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => { this.plot.destroy(); this.#draw(); };
    this.scheme.addEventListener("change", this.recolour);
  }

  get slot() { return this.data?.slot ?? null; }
  get series() { return this.data?.series ?? null; }

  close() {
    if (!this.data) return;
    clearInterval(this.slide);
    this.sizes.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.plot.destroy();
  }

  /** A newer reading of the series, ms since 1970. */
  addReading(at, value) {
    if (at <= (this.data.at.at(-1) ?? 0)) return;
    this.data.at.push(at);
    this.data.value.push(value);
    this.#show();
  }

  addEvent({ kind, units, at }) {
    if (this.data.events.some((event) => event.at === at && event.units === units && event.kind === kind)) return;
    this.data.events.push({ kind, units, at });
    this.#show();
  }

  showUnits(units) {
    this.panel.querySelector('[data-field="on_shelf"]').textContent = units;
  }

  #show() {
    const oldest = Date.now() - this.data.range_ms;
    const keep = this.data.at.findIndex((at) => at >= oldest - 60_000);
    if (keep > 0) {
      this.data.at.splice(0, keep);
      this.data.value.splice(0, keep);
    }
    this.plot.setData(this.#columns(), false);
    this.plot.batch(() => {
      this.plot.setScale("x", this.#window());
      this.plot.setScale("y", this.#span());
    });
    this.#showWeight();
  }

  #columns() { return [this.data.at.map((at) => at / 1_000), this.data.value]; }

  // The whole range once there are readings for it; before that what there is, so that a young series is seen at once.
  #window() {
    const now = Date.now();
    const first = this.data.at[0] ?? now;
    const range = Math.min(Math.max((now - first) * 1.08, RANGE_MIN_MS), this.data.range_ms);
    return { min: (now - range) / 1_000, max: now / 1_000 };
  }

  // From the smallest to the largest weight in sight, never so narrow that noise looks like sales.
  #span() {
    const seen = this.data.value;
    if (seen.length === 0) return { min: 0, max: 1_000 };
    const low = seen.reduce((a, b) => Math.min(a, b));
    const high = seen.reduce((a, b) => Math.max(a, b));
    const room = Math.max((high - low) * 0.15, 100);
    return { min: low - room, max: high + room };
  }

  #size() { return { width: this.place.clientWidth, height: this.place.clientHeight }; }

  #showWeight() {
    const weight = this.data.value.at(-1);
    this.panel.querySelector('[data-field="weight"]').textContent = weight === undefined ? "–" : formatWhole(weight);
  }

  #draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), font: "12px system-ui", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    this.plot = new window.uPlot({
      ...this.#size(),
      legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      scales: { x: { time: true, auto: false, range: () => { const { min, max } = this.#window(); return [min, max]; } }, y: { auto: false, range: () => { const { min, max } = this.#span(); return [min, max]; } } },
      axes: [
        { ...axis, size: 26, space: 70, values: (_, times) => times.map(clockText) },
        { ...axis, size: 58, values: (_, grams) => grams.map((gram) => formatWhole(gram)) },
      ],
      series: [{}, { label: t("weight_g"), stroke: colour("--accent"), width: 1.75, fill: colour("--accent-soft"), points: { show: false } }],
      hooks: { draw: [(plot) => this.#drawMarks(plot, colour)] },
    }, this.#columns(), this.place);
    this.#showWeight();
  }

  #drawMarks(plot, colour) {
    const { ctx, bbox } = plot;
    const ratio = window.devicePixelRatio || 1;
    ctx.save();
    ctx.font = `600 ${11 * ratio}px system-ui`;
    ctx.textAlign = "center";
    const events = [...this.data.events].sort((a, b) => a.at - b.at);
    const rows = [-Infinity, -Infinity];
    for (const { kind, units, at } of events) {
      const x = plot.valToPos(at / 1_000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(MARKS[kind] ?? "--muted");
      ctx.globalAlpha = 0.55;
      ctx.lineWidth = ratio;
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + 28 * ratio);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      // Two rows of labels; what fits into neither is a line only.
      const row = rows.findIndex((last) => x - last >= LABEL_WIDTH * ratio);
      if (row < 0) continue;
      rows[row] = x;
      ctx.fillText(signed(units), Math.max(x, bbox.left + 9 * ratio), bbox.top + (11 + row * 13) * ratio);
    }
    ctx.restore();
  }
}

const minutes = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false });
const seconds = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

function clockText(at) {
  return (at % 60 === 0 ? minutes : seconds).format(new Date(at * 1_000));
}
