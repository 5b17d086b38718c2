/** The attempts of a task, told from its state changes: when each held its device, for how long, and what ended it. */
import { h } from "../dom.js";
import { NONE, duration, instant, secondsSince, shortInstant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { stateBadge } from "./small.js";

const t = translator(words);

/**
 * A table of the attempts; null before the first one began.
 * @param {Array<{at: string, after: string, cause: string}>} history every state change, oldest first
 */
export function attemptsTable(history) {
  const attempts = history.flatMap((change, index) => (change.after === "running" ? [{ began: change, ended: history[index + 1] }] : []));
  if (!attempts.length) return null;
  const heads = ["attempt", "began", "held_for", "ended_by"].map((word) => h("th", { scope: "col" }, t(word)));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("leases") },
    h("table", { class: "dense" }, h("caption", { class: "quiet small" }, t("leases")), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, attempts.map(attemptRow))));
}

/** The service names the device in the cause of the start; it is shown as it is said. */
function attemptRow({ began, ended }, index) {
  const seconds = ended ? (Date.parse(ended.at) - Date.parse(began.at)) / 1000 : secondsSince(began.at);
  return h("tr", {}, h("th", { scope: "row" }, index + 1),
    h("td", {}, h("time", { class: "number small", datetime: began.at, title: instant(began.at) }, shortInstant(began.at)), h("div", { class: "small break" }, began.cause)),
    h("td", { class: "number" }, ended ? duration(seconds) : t("so_far", { time: duration(seconds) })),
    h("td", {}, ended ? [stateBadge(ended.after), h("div", { class: "small break" }, ended.cause)] : NONE));
}
