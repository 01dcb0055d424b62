// The grid: sites, their shelves, and a bar for each slot.
import { formatWhole, t } from "./texts.js";

const CHANGED_MS = 1_200;

export class Shelves {
  constructor(root, wall, nameOf) {
    this.nameOf = nameOf;
    this.slots = new Map(wall.slots.map((slot) => [slot.slot, slot]));
    this.buttons = new Map();
    this.sites = new Map();
    const parts = [];
    for (const site of wall.sites) {
      const slots = wall.slots.filter((slot) => slot.site === site.id);
      if (slots.length > 0) parts.push(this.#site(site, slots));
    }
    root.replaceChildren(...parts);
    window.htmx?.process(root);
  }

  /** Put a count on its slot. */
  update({ slot: id, on_shelf: units, at }) {
    const slot = this.slots.get(id);
    if (!slot || (slot.at !== null && at < slot.at)) return;
    const changed = slot.on_shelf !== units;
    slot.on_shelf = units;
    slot.at = at;
    this.#show(slot);
    if (changed) {
      const button = this.buttons.get(id);
      button.classList.add("changed");
      setTimeout(() => button.classList.remove("changed"), CHANGED_MS);
      this.#showSite(slot.site);
    }
  }

  choose(id) {
    for (const [slot, button] of this.buttons) button.toggleAttribute("aria-current", slot === id);
  }

  #site(site, slots) {
    const part = clone("site-template");
    part.querySelector("h3").textContent = site.name;
    part.querySelector(".city").textContent = site.city;
    const shelves = Map.groupBy ? Map.groupBy(slots, shelfOf) : groupBy(slots, shelfOf);
    for (const [shelf, members] of shelves) part.querySelector(".shelves").append(this.#shelf(shelf, members));
    this.sites.set(site.id, part);
    this.#showSite(site.id);
    return part;
  }

  #shelf(id, slots) {
    const part = clone("shelf-template");
    part.style.setProperty("--bays", slots.length);
    part.querySelector("h4").textContent = `${t("shelf")} ${id.split("/")[1]}`;
    for (const slot of slots) {
      const button = clone("slot-template");
      button.dataset.slot = slot.slot;
      button.setAttribute("hx-get", `/wall/slots/${slot.slot}`);
      this.buttons.set(slot.slot, button);
      this.#show(slot);
      part.querySelector(".slots").append(button);
    }
    return part;
  }

  #show(slot) {
    const button = this.buttons.get(slot.slot);
    const state = stateOf(slot);
    button.dataset.state = state;
    button.dataset.reorder = slot.reorder === null ? "none" : "some";
    button.style.setProperty("--level", Math.min((slot.on_shelf ?? 0) / slot.capacity, 1));
    button.style.setProperty("--reorder", Math.min((slot.reorder ?? 0) / slot.capacity, 1));
    button.querySelector(".units").textContent = slot.on_shelf === null ? "–" : formatWhole(slot.on_shelf);
    const label = describe(slot, state, this.nameOf(slot.sku));
    button.title = label;
    button.setAttribute("aria-label", label);
  }

  #showSite(id) {
    const low = [...this.slots.values()].filter((slot) => slot.site === id && ["low", "out"].includes(stateOf(slot)));
    const place = this.sites.get(id)?.querySelector(".low-count");
    if (place) place.textContent = low.length ? t("slots_low", { count: low.length }) : "";
  }
}

export function clone(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

function stateOf(slot) {
  if (slot.on_shelf === null) return "unknown";
  if (slot.on_shelf === 0) return "out";
  return slot.reorder !== null && slot.on_shelf <= slot.reorder ? "low" : "ok";
}

function describe(slot, state, sku) {
  const said = slot.on_shelf === null
    ? [sku, t("not_counted")]
    : [t("slot_label", { sku, count: slot.on_shelf, capacity: slot.capacity })];
  if (slot.reorder !== null) said.push(t("reorder_at", { count: formatWhole(slot.reorder) }));
  if (state === "low" || state === "out") said.push(t(`state_${state}`));
  return said.join(t("comma"));
}

// Slot s01-b3 stands on shelf s01; a slot without a bay is its own shelf.
function shelfOf(slot) {
  const [gateway, name] = slot.slot.split("/");
  return `${gateway}/${name.replace(/-b\d+$/, "")}`;
}

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}
