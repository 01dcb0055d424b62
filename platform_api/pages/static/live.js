// The stream of changes: reconnects by itself, goes on from where it was, and asks for everything when it cannot.
import { renewSession } from "./api.js";

const RETRY_MS = 3_000;

export class Live {
  constructor({ onDelta, onTotals, onValues, onReset, onState }) {
    this.handlers = { delta: onDelta, totals: onTotals, values: onValues };
    this.onReset = onReset;
    this.onState = onState;
    this.cursor = null;
    this.series = null;
  }

  /** Follow from a cursor on, with the readings of one series (or null). */
  open(cursor, series) {
    this.close();
    this.cursor = cursor ?? this.cursor;
    this.series = series;
    const query = new URLSearchParams({ after: this.cursor });
    if (series !== null) query.set("series", series);
    this.source = new EventSource(`/v1/live?${query}`);
    this.source.addEventListener("open", () => this.onState("live"));
    this.source.addEventListener("error", () => this.#lost());
    this.source.addEventListener("reset", () => this.onReset());
    for (const [name, handler] of Object.entries(this.handlers)) {
      this.source.addEventListener(name, (event) => {
        if (event.lastEventId) this.cursor = event.lastEventId;
        handler(JSON.parse(event.data));
      });
    }
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
  }

  // The browser retries a broken stream itself, but gives up for good on an answer such as 401 or 503.
  #lost() {
    this.onState("reconnecting");
    if (this.source.readyState !== EventSource.CLOSED) return;
    this.retry = setTimeout(async () => {
      await renewSession();
      this.open(null, this.series);
    }, RETRY_MS);
  }
}
