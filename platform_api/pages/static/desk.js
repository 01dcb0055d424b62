// The pages of daily work: what is done goes to the API with the version that was seen, then the page is read again.
import { newKey, request } from "./api.js";
import { addRow, bodyOf } from "./forms.js";
import { localise, t, useTexts } from "./texts.js";

const CHANGED = 412;
const CATALOGUE_PAGE = 500;
const CURRENCY = "CNY"; // of a cart that names none
const toast = document.getElementById("toast");
const cart = document.getElementById("cart");
const data = JSON.parse(document.getElementById("desk-data").textContent);
useTexts(data.texts);
localise(document);

for (const button of document.querySelectorAll("button[data-act]")) {
  button.addEventListener("click", () => {
    if (isCartChanged()) show(t("save_first"));
    else act(button, "POST", button.dataset.act, { version: button.dataset.version });
  });
}

for (const form of document.querySelectorAll("form[data-act]")) {
  const once = "once" in form.dataset ? newKey() : undefined;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const options = { version: form.dataset.version, body: bodyOf(form), once };
    act(event.submitter, "POST", form.dataset.act, options, form.dataset.go);
  });
}

for (const button of document.querySelectorAll("[data-another]")) {
  button.addEventListener("click", () => addRow(document.getElementById(button.dataset.another)));
}

/** Ask the API, and show the page as it is then; go where what was made is found, when there is such a page. */
async function act(button, method, path, options, pages) {
  button.disabled = true;
  try {
    const made = await request(method, path, options);
    if (pages) window.location.assign(`${pages}/${made.id}`);
    else window.location.reload();
  } catch (refused) {
    button.disabled = false;
    tell(refused);
  }
}

function tell(refused) {
  show(refused.status === CHANGED ? t("changed_meanwhile") : t("failed", { reason: refused.message }));
}

function show(text) {
  toast.textContent = text;
  toast.hidden = false;
}

// ---------------------------------------------------------------- a cart that is not ordered yet

if (cart) {
  cart.addEventListener("submit", (event) => {
    event.preventDefault();
    const lines = data.cart.lines.map((line, index) => ({ ...line, packs: packsOf(index) }));
    const added = cart.elements.sku.selectedOptions[0];
    if (added.value) lines.push({ sku: added.value, uom: added.dataset.uom, packs: Number(cart.elements.packs.value) });
    const body = { ...data.cart, lines: lines.filter((line) => line.packs > 0) };
    act(event.submitter, "PUT", cart.dataset.path, { version: cart.dataset.version, body });
  });
  offer(cart.elements.sku, data.cart.org, data.cart.currency).catch(tell);
}

// ---------------------------------------------------------------- a cart that is begun here

const begun = document.getElementById("new-order");
if (begun) {
  const once = newKey();
  begun.addEventListener("submit", (event) => {
    event.preventDefault();
    const { place, sku, packs } = begun.elements;
    const line = { sku: sku.value, uom: sku.selectedOptions[0].dataset.uom, packs: Number(packs.value) };
    act(event.submitter, "POST", "/v1/orders", { body: { ship_to: place.value, lines: [line] }, once }, "/orders");
  });
  const fill = () => offer(begun.elements.sku, begun.dataset.org, CURRENCY).catch(tell);
  begun.closest("details").addEventListener("toggle", fill, { once: true });
}

/** Whether the cart on the page is another than the one that would be ordered. */
function isCartChanged() {
  if (!cart) return false;
  return cart.elements.sku.value !== "" || data.cart.lines.some((line, index) => packsOf(index) !== line.packs);
}

function packsOf(index) {
  return Number(document.querySelector(`[data-line="${index}"]`).value);
}

/** Fill a list with what the buyer may order and has a price, all pages of it. */
async function offer(select, org, currency) {
  let next = "";
  do {
    const query = new URLSearchParams({ org, currency, limit: CATALOGUE_PAGE });
    if (next) query.set("cursor", next);
    const page = await request("GET", `/v1/catalogue?${query}`);
    for (const item of page.items) {
      if (!item.price) continue;
      const option = new Option(`${nameOf(item)} · ${item.uom} · ${item.price.amount}`, item.sku);
      option.dataset.uom = item.uom;
      select.add(option);
    }
    next = page.next;
  } while (next);
}

// ---------------------------------------------------------------- what a place has to give

for (const place of document.querySelectorAll("[data-offers]")) {
  const rows = document.getElementById(place.dataset.offers);
  const expiredToo = "expiredToo" in place.dataset;
  const offer = () => offerStock(place, rows, expiredToo).catch(tell);
  place.addEventListener("change", offer);
  // Somebody was quicker than this script, or came back to a form that the browser had kept.
  if (place.value) offer();
}

/** Fill the lists of a form with what is free at a place, all pages of it; what has expired only where it may go. */
async function offerStock(place, rows, expiredToo) {
  const chosen = place.value;
  const options = [new Option("–", "")];
  let next = "";
  do {
    const query = new URLSearchParams({ location: chosen, limit: CATALOGUE_PAGE });
    if (next) query.set("cursor", next);
    const page = chosen ? await request("GET", `/v1/stock?${query}`) : { items: [] };
    for (const item of page.items) {
      const free = item.on_hand - item.reserved - (expiredToo ? 0 : item.expired);
      if (free > 0) options.push(new Option(`${nameOf(item)} · ${free}`, item.sku));
    }
    next = page.next;
  } while (next);
  // Another place was chosen meanwhile, and its own answer counts.
  if (place.value !== chosen) return;
  for (const select of rows.querySelectorAll("select")) {
    select.replaceChildren(...options.map((option) => option.cloneNode(true)));
  }
}

function nameOf(item) {
  return (data.locale === "zh" ? item.name_zh : item.name_en) || item.sku;
}

// Nothing is pressed before it does something: until here the page's buttons were disabled.
for (const button of document.querySelectorAll("main button:disabled")) button.disabled = false;
