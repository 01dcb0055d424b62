// Requests to our own API with the page's session, which is renewed once when it has run out.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const RENEW_EVERY_MS = 9 * 60_000;

let renewing = null;

/** A new key for something that is to happen once. randomUUID is not there over plain HTTP. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Renew the session; all who ask at once share one request. Leaves for /login when it has ended. */
export function renewSession() {
  renewing ??= fetch("/session/refresh", { method: "POST" })
    .then((response) => {
      if (response.status === 401) window.location.assign(`/login?${new URLSearchParams({ to: window.location.pathname + window.location.search })}`);
      return response.ok;
    })
    .catch(() => false)
    .finally(() => { renewing = null; });
  return renewing;
}

export async function request(method, path, { body, version, once } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (once !== undefined) headers["Idempotency-Key"] = once;
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  const send = () => fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  let response = await send();
  if (response.status === 401 && (await renewSession())) response = await send();
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.detail || answer.title || String(response.status));
  return answer;
}

setInterval(() => { if (!document.hidden) renewSession(); }, RENEW_EVERY_MS);
