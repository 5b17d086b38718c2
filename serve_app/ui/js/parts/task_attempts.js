/** The attempts of a task: which device each held, when, for how long, and what ended it. */
import { h } from "../dom.js";
import { NONE, duration, gigabytes, instant, number, secondsSince, shortInstant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { stateBadge } from "./small.js";

const t = translator(words);

/**
 * A table of the attempts; null before the first one began.
 * @param {Array<{at: string, after: string, cause: string}>} history every state change, oldest first
 * @param {Array<{granted_at: ?string, end: ?string, devices: Array<{device: string, gpu_fraction: number, memory_gb: number}>}>} leases oldest first
 */
export function attemptsTable(history, leases) {
  const attempts = history.flatMap((change, index) => (change.after === "running" ? [{ began: change, ended: history[index + 1], lease: leaseAt(change.at, leases) }] : []));
  if (!attempts.length) return null;
  const heads = ["attempt", "held", "began", "held_for", "ended_by"].map((word) => h("th", { scope: "col" }, t(word)));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("leases") },
    h("table", { class: "dense" }, h("caption", { class: "quiet small" }, t("leases")), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, attempts.map(attemptRow))));
}

/** The lease that an attempt began on: the last that was granted before. */
function leaseAt(at, leases) {
  return leases.findLast((lease) => lease.granted_at && Date.parse(lease.granted_at) <= Date.parse(at));
}

function attemptRow({ began, ended, lease }, index) {
  const seconds = ended ? (Date.parse(ended.at) - Date.parse(began.at)) / 1000 : secondsSince(began.at);
  return h("tr", {}, h("th", { scope: "row" }, index + 1),
    h("td", {}, lease ? lease.devices.map(heldOf) : h("div", { class: "small break" }, began.cause)),
    h("td", {}, h("time", { class: "number small", datetime: began.at, title: instant(began.at) }, shortInstant(began.at))),
    h("td", { class: "number" }, ended ? duration(seconds) : t("so_far", { time: duration(seconds) })),
    h("td", {}, ended ? [stateBadge(ended.after), h("div", { class: "small break" }, ended.cause), endOf(lease)] : NONE));
}

function heldOf({ device, gpu_fraction: fraction, memory_gb: memory }) {
  return h("div", {}, h("strong", {}, device), h("div", { class: "small quiet number" }, `${number(fraction, 2)} · ${gigabytes(memory)}`));
}

/** How the lease ended, where that was not its orderly return. */
function endOf(lease) {
  return lease?.end && lease.end !== "released" ? h("div", { class: "small quiet" }, t(`end_${lease.end}`)) : null;
}
