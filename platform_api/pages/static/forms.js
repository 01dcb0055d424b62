// What a form says, as the body of a request. A field says with data-at where its value belongs; rows make a list.

/** The body of a form: its fixed part, and each field at its path. What is empty or 0 is left out. */
export function bodyOf(form) {
  const body = JSON.parse(form.dataset.body || "{}");
  for (const field of form.querySelectorAll("[data-at]")) {
    if (!field.closest("[data-row]")) fill(body, field);
  }
  for (const row of form.querySelectorAll("[data-row]")) {
    const item = {};
    for (const field of row.querySelectorAll("[data-at]")) fill(item, field);
    (body[row.dataset.row] ??= []).push(item);
  }
  return body;
}

function fill(target, field) {
  const value = valueOf(field);
  if (!value) return;
  const path = JSON.parse(field.dataset.at);
  const last = path.pop();
  let place = target;
  for (const name of path) place = place[name] ??= {};
  place[last] = value;
}

function valueOf(field) {
  if ("now" in field.dataset) return new Date().toISOString();
  return field.type === "number" ? Number(field.value) : field.value.trim();
}

/** Add a row like the last one, empty. */
export function addRow(rows) {
  const row = rows.lastElementChild.cloneNode(true);
  for (const field of row.querySelectorAll("input")) field.value = "";
  rows.append(row);
  row.querySelector("select, input").focus();
}
