// What was sold and restocked, the newest first.
import { clone } from "./shelves.js";
import { formatTime, formatWhole, t } from "./texts.js";

const SHOWN_MAX = 60;

export class Feed {
  constructor(root, names) {
    this.root = root;
    this.names = names;
    this.empty = document.querySelector('[data-empty="feed"]');
    this.shown = new Set();
  }

  reset(events) {
    this.shown.clear();
    this.root.replaceChildren();
    for (const event of [...events].reverse()) this.add(event, { fresh: false });
    this.empty.hidden = events.length > 0;
  }

  /** Put an event on top; false when it was there. */
  add(event, { fresh = true } = {}) {
    if (this.shown.has(event.id)) return false;
    this.shown.add(event.id);
    this.root.prepend(this.#line(event, fresh));
    this.empty.hidden = true;
    while (this.root.children.length > SHOWN_MAX) {
      this.shown.delete(this.root.lastElementChild.dataset.id);
      this.root.lastElementChild.remove();
    }
    return true;
  }

  #line(event, fresh) {
    const line = clone("event-template");
    line.dataset.id = event.id;
    line.dataset.sign = event.units > 0 ? "plus" : event.units < 0 ? "minus" : "none";
    line.classList.toggle("fresh", fresh);
    const time = line.querySelector("time");
    time.textContent = formatTime(event.at);
    time.dateTime = new Date(event.at).toISOString();
    line.querySelector(".delta").textContent = signed(event.units);
    line.querySelector(".name").textContent = this.names.sku(event.sku);
    line.querySelector(".where").textContent = `${t(event.kind)} · ${this.names.site(event.site)} · ${event.slot.split("/")[1]}`;
    line.querySelector(".left").textContent = event.on_shelf === null ? "" : t("left_on_shelf", { count: event.on_shelf });
    return line;
  }
}

export function signed(units) {
  return units > 0 ? `+${formatWhole(units)}` : formatWhole(units).replace("-", "−");
}
