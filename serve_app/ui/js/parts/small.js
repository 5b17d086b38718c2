/** Small parts that many views show: states and facts. */
import { h, setText } from "../dom.js";
import { translator } from "../i18n.js";

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

/** Names and values. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
