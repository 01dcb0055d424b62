// Anomalies and proposals: cards that people decide on. Each list is keyed by id, the newest first.
import { Refused, request } from "./api.js";
import { showFacts, showPlot } from "./evidence.js";
import { clone } from "./shelves.js";
import { formatTime, formatWhole, t } from "./texts.js";

const SHOWN_MAX = 50;

class Cards {
  constructor(name, { shownStates, onFailure }) {
    this.list = document.getElementById(name);
    this.count = document.querySelector(`[data-count="${name}"]`);
    this.empty = document.querySelector(`[data-empty="${name}"]`);
    this.path = `/v1/${name}`;
    this.shownStates = shownStates;
    this.onFailure = onFailure;
    this.items = new Map();
    this.cards = new Map();
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-action]");
      if (button) this.#decide(button);
    });
  }

  reset(items) {
    this.items.clear();
    this.cards.clear();
    this.list.replaceChildren();
    // The list comes newest first, and each is put on top.
    for (const item of [...items].reverse()) this.#put(item);
    this.#showCount();
  }

  /** Put an item in its place; true when it is new. */
  update(item) {
    const known = this.items.get(item.id);
    if (known && known.version > item.version) return false;
    this.#put(item);
    this.#showCount();
    return !known && this.items.has(item.id);
  }

  #put(item) {
    const card = this.cards.get(item.id);
    if (!this.shownStates.includes(item.state)) {
      this.items.delete(item.id);
      this.cards.delete(item.id);
      card?.remove();
      return;
    }
    this.items.set(item.id, item);
    const part = card ?? this.#newCard(item.id);
    part.dataset.state = item.state;
    this.fill(part, item);
  }

  #newCard(id) {
    const card = clone(this.template);
    card.dataset.id = id;
    this.cards.set(id, card);
    this.list.prepend(card);
    while (this.list.children.length > SHOWN_MAX) {
      const last = this.list.lastElementChild;
      this.items.delete(last.dataset.id);
      this.cards.delete(last.dataset.id);
      last.remove();
    }
    return card;
  }

  async #decide(button) {
    const card = button.closest("[data-id]");
    const item = this.items.get(card.dataset.id);
    const buttons = card.querySelectorAll("button");
    for (const one of buttons) one.disabled = true;
    try {
      const { label } = button.dataset;
      const answer = await request("POST", `${this.path}/${item.id}:${button.dataset.action}`, {
        version: item.version, body: label ? { label } : undefined,
      });
      // The stream may have told us already.
      this.update({ ...item, state: answer.state, version: answer.version });
      if (!this.cards.has(item.id)) this.list.closest("section").querySelector("h2").focus?.();
    } catch (error) {
      this.onFailure(error instanceof Refused && [409, 412].includes(error.status)
        ? t("changed_meanwhile") : t("failed", { reason: error.message }));
    } finally {
      for (const one of buttons) one.disabled = false;
    }
  }

  #showCount() {
    const more = this.items.size >= SHOWN_MAX ? "+" : "";
    this.count.textContent = this.items.size ? formatWhole(this.items.size) + more : "";
    this.empty.hidden = this.items.size > 0;
  }
}

export class Anomalies extends Cards {
  template = "anomaly-template";

  constructor(names, onFailure) {
    super("anomalies", { shownStates: ["open", "acknowledged"], onFailure });
    this.names = names;
  }

  fill(card, item) {
    const severity = item.severity >= 0.67 ? "high" : item.severity >= 0.34 ? "medium" : "low";
    card.dataset.severity = severity;
    card.querySelector(".title").textContent = t(item.kind);
    card.querySelector(".tag").textContent = item.state === "open" ? t(`severity_${severity}`) : t(`state_${item.state}`);
    const when = item.end === null
      ? t("since", { time: formatTime(item.start) })
      : t("ended", { start: formatTime(item.start), end: formatTime(item.end) });
    card.querySelector(".place span").textContent = this.placeOf(item);
    card.querySelector(".place time").textContent = when;
    showPlot(card.querySelector(".spark"), item.evidence);
    showFacts(card.querySelector(".evidence"), item.evidence);
  }

  placeOf(item) {
    return `${this.names.site(item.site)} · ${item.place}`;
  }
}

export class Proposals extends Cards {
  template = "proposal-template";

  constructor(names, onFailure) {
    super("proposals", { shownStates: ["open", "approved", "ordered"], onFailure });
    this.names = names;
  }

  fill(card, item) {
    card.querySelector(".title").textContent = `${t("count_units", { count: formatWhole(item.units) })} · ${this.names.sku(item.sku)}`;
    card.querySelector(".tag").textContent = t(`state_${item.state}`);
    card.querySelector(".place span").textContent = this.names.site(item.site);
    card.querySelector(".place time").textContent = formatTime(item.at);
    showFacts(card.querySelector(".evidence"), item.evidence);
  }
}
