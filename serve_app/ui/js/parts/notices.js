/** Short messages: a toast that goes by itself, and notices that stay where they are put. */
import { h } from "../dom.js";
import { ApiError } from "../api.js";
import { translator } from "../i18n.js";

const t = translator();
const TOAST_MS = 6000;

/** Say something in a corner; screen readers read it out. */
export function toast(text, tone = "") {
  const element = h("p", { class: "toast", dataset: { tone } }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}

/** A box that stays. */
export function notice(text, tone = "", ...more) {
  return h("div", { class: "notice stack", dataset: { tone }, role: tone === "bad" ? "alert" : null }, h("p", {}, text), more);
}

/** The words of an error, for a visitor. */
export function explain(error) {
  if (error instanceof ApiError && error.status === 0) return t("unreachable");
  return error.message;
}

/** Do something that may fail, and say so where it does; gives its result, or undefined. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") toast(explain(error), "bad");
    return undefined;
  }
}
