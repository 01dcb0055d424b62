// The pages of daily work: what is done goes to the API with the version that was seen, then the page is read again.
import { newKey, request } from "./api.js";
import { t, useTexts } from "./texts.js";

const CHANGED = 412;
const CATALOGUE_PAGE = 500;
const toast = document.getElementById("toast");
const data = JSON.parse(document.getElementById("desk-data").textContent);
useTexts(data.texts);

for (const button of document.querySelectorAll("[data-act]")) {
  const once = "once" in button.dataset ? newKey() : undefined;
  button.addEventListener("click", () => {
    const reason = button.dataset.ask ? window.prompt(button.dataset.ask) : undefined;
    if (reason === null) return;
    const body = reason !== undefined ? { reason } : once !== undefined ? {} : undefined;
    act(button, "POST", button.dataset.act, { version: button.dataset.version, body, once });
  });
}

async function act(button, method, path, options) {
  button.disabled = true;
  try {
    await request(method, path, options);
    window.location.reload();
  } catch (refused) {
    button.disabled = false;
    tell(refused);
  }
}

function tell(refused) {
  toast.textContent = refused.status === CHANGED ? t("changed_meanwhile") : t("failed", { reason: refused.message });
  toast.hidden = false;
}

// ---------------------------------------------------------------- a cart that is not ordered yet

const cart = document.getElementById("cart");
if (cart) {
  cart.addEventListener("submit", (event) => {
    event.preventDefault();
    const lines = data.cart.lines.map((line, index) => ({ ...line, packs: packsOf(index) }));
    const added = cart.elements.sku.selectedOptions[0];
    if (added.value) lines.push({ sku: added.value, uom: added.dataset.uom, packs: Number(cart.elements.packs.value) });
    const body = { ...data.cart, lines: lines.filter((line) => line.packs > 0) };
    act(event.submitter, "PUT", cart.dataset.path, { version: cart.dataset.version, body });
  });
  offer(cart.elements.sku).catch(tell);
}

function packsOf(index) {
  return Number(document.querySelector(`[data-line="${index}"]`).value);
}

/** Fill a list with what the buyer may order and has a price, all pages of it. */
async function offer(select) {
  let next = "";
  do {
    const query = new URLSearchParams({ org: data.cart.org, currency: data.cart.currency, limit: CATALOGUE_PAGE });
    if (next) query.set("cursor", next);
    const page = await request("GET", `/v1/catalogue?${query}`);
    for (const item of page.items) {
      if (!item.price) continue;
      const name = (data.locale === "zh" ? item.name_zh : item.name_en) || item.sku;
      const option = new Option(`${name} · ${item.uom} · ${item.price.amount}`, item.sku);
      option.dataset.uom = item.uom;
      select.add(option);
    }
    next = page.next;
  } while (next);
}

// ---------------------------------------------------------------- goods that shall come back

const back = document.getElementById("return");
if (back) {
  const once = newKey();
  back.addEventListener("submit", (event) => {
    event.preventDefault();
    const units = {};
    for (const input of back.querySelectorAll("[data-return]")) {
      if (Number(input.value) > 0) units[input.dataset.return] = Number(input.value);
    }
    const body = { reason: back.elements.reason.value, units };
    act(event.submitter, "POST", back.dataset.path, { body, once });
  });
}
