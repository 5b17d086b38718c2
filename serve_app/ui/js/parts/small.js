/** Small parts that many views show: states, bars, code to copy, facts. */
import { h, setText } from "../dom.js";
import { translator } from "../i18n.js";
import { copyText } from "./clipboard.js";

const t = translator();
const TONES = { running: "running", completed: "good", failed: "bad", cancelled: "warn" };
export const ENDED = new Set(["completed", "failed", "cancelled"]);

/** The state of a task, as a badge. */
export function stateBadge(state) {
  return updateBadge(h("span", { class: "badge" }), state);
}

export function updateBadge(badge, state) {
  badge.dataset.tone = TONES[state] ?? "";
  setText(badge, t(state));
  return badge;
}

/** A bar for something from 0 to 100. */
export function progressBar(percent, label) {
  return h("progress", { max: 100, value: percent, "aria-label": label });
}

/** Code with a button that copies it. */
export function codeBlock(text, label) {
  return h("div", { class: "stack" }, h("div", { class: "spread" }, h("h3", {}, label), h("button", { type: "button", onclick: () => copyText(text) }, t("copy"))),
    h("pre", { tabindex: "0", "aria-label": label }, h("code", {}, text)));
}

/** Names and values. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
