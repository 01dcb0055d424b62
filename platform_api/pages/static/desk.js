// The pages of daily work: what is done goes to the API with the version that was seen, then the page is read again.
import { request } from "./api.js";
import { t, useTexts } from "./texts.js";

const CHANGED = 412;
const toast = document.getElementById("toast");
useTexts(JSON.parse(document.getElementById("desk-data").textContent).texts);

for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => act(button));

async function act(button) {
  button.disabled = true;
  try {
    await request("POST", button.dataset.act, { version: button.dataset.version });
    window.location.reload();
  } catch (refused) {
    button.disabled = false;
    toast.textContent = refused.status === CHANGED ? t("changed_meanwhile") : t("failed", { reason: refused.message });
    toast.hidden = false;
  }
}
