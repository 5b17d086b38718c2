/** Figures in the words of the page's language. Everything unknown is "–". */
import { language, translator } from "./i18n.js";

export const NONE = "–";
const t = translator();

/** An instant (ISO 8601) as date and time of the visitor. */
export function instant(text) {
  if (!text) return NONE;
  return new Intl.DateTimeFormat(language(), { dateStyle: "short", timeStyle: "medium" }).format(new Date(text));
}

/** The same, short: the time alone for today, else day and time. */
export function shortInstant(text) {
  if (!text) return NONE;
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  const form = isToday ? { hour: "2-digit", minute: "2-digit", second: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(language(), form).format(at);
}

/** Seconds as "1 h 05 min", "3 min 20 s" or "4 s". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours) return t("hours", { hours, minutes: String(minutes).padStart(2, "0") });
  if (minutes) return t("minutes", { minutes, seconds: String(whole % 60).padStart(2, "0") });
  return t("seconds", { seconds: whole });
}

/** How long ago an instant was, in seconds. */
export function secondsSince(text) {
  return text ? (Date.now() - Date.parse(text)) / 1000 : null;
}

/** A part of 1 as percent. */
export function percent(part, digits = 0) {
  if (part === null || part === undefined) return NONE;
  return new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: digits }).format(part);
}

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
}

/** Bytes as KB, MB, GB (of 1024). */
export function bytes(count) {
  if (count === null || count === undefined) return NONE;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value, value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

export function gigabytes(value) {
  return value === null || value === undefined ? NONE : `${number(value, 1)} GB`;
}

/** Hertz as kHz, MHz or GHz. */
export function hertz(value) {
  if (value === null || value === undefined) return NONE;
  const [scale, unit] = Math.abs(value) >= 1e9 ? [1e9, "GHz"] : Math.abs(value) >= 1e6 ? [1e6, "MHz"] : Math.abs(value) >= 1e3 ? [1e3, "kHz"] : [1, "Hz"];
  return `${number(value / scale, 4)} ${unit}`;
}
