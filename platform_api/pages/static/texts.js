// What the page says: translated texts, numbers and times in the page's language.
const language = document.documentElement.lang;
const number = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dated = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });

const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const minute = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

let texts = {};

export function useTexts(given) {
  texts = given;
}

/** Text of a key with {name} filled in; an unknown key reads as plain words. */
export function t(key, values = {}) {
  const text = texts[key] ?? key.replaceAll("_", " ");
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const formatNumber = (value) => number.format(value);
export const formatWhole = (value) => whole.format(value);

/** Time of day of ms since 1970, with the date when it was not today. */
export function formatTime(ms) {
  const when = new Date(ms);
  return when.toDateString() === new Date().toDateString() ? clock.format(when) : dated.format(when);
}

/** Tell the times that the server wrote in UTC by the clock of whoever reads them, as days or to the minute. */
export function localise(root) {
  for (const time of root.querySelectorAll("time[data-shown]")) {
    time.textContent = (time.dataset.shown === "day" ? day : minute).format(new Date(time.dateTime));
  }
}
