/** Why a task waits: in a line of its own, and whole in a dialog. */
import { api } from "../api.js";
import { h, setText } from "../dom.js";
import { gigabytes, instant, percent } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task_parts.js";
import { openDialog } from "./dialog.js";
import { attempt } from "./notices.js";
import { facts } from "./small.js";
import { taskName } from "./task_words.js";

const t = translator(words);
/** The reason changes with the line, and asking costs the service a little. */
const EVERY_MS = 5000;

/** A line with the reason that is asked for again now and then; `refresh` may be called at any pace. */
export function whyWaits(taskId) {
  const element = h("p", { class: "quiet small break" });
  let asked = -Infinity;
  async function refresh() {
    if (performance.now() - asked < EVERY_MS) return;
    asked = performance.now();
    try {
      const why = await askWhy(taskId);
      setText(element, [why.message, why.remedy].filter(Boolean).join(" — "));
    } catch {
      // The line says what it knew; the task may be gone by now.
    }
  }
  return { element, refresh };
}

export function askWhy(taskId) {
  return api(`/api/v2/tasks/${encodeURIComponent(taskId)}/why`);
}

/** Show everything that is known of the waiting of a task. */
export async function showWhy(task) {
  const why = await attempt(() => askWhy(task.task_id));
  if (!why) return;
  await openDialog({
    title: t("why_title", { name: taskName(task) }),
    content: whyContent(why),
    buttons: (close) => [h("button", { type: "button", class: "primary", onclick: () => close(null) }, t("close"))],
  });
}

/** What is known of the waiting, as elements. */
export function whyContent(why) {
  const rows = [];
  if (why.position) rows.push([t("place_in_line"), t("place_of", { position: why.position, length: why.line_length })]);
  if (why.missing) rows.push([t("missing"), t(`missing_${why.missing}`)]);
  if (why.devices.length) rows.push([t("may_use"), why.devices.join(", ")]);
  if (why.position) rows.push([t("starts_about"), why.estimated_start_at ? instant(why.estimated_start_at) : t("unknown_time")]);
  if (why.remedy) rows.push([t("remedy"), why.remedy]);
  return [h("p", { class: "break" }, why.message), rows.length ? facts(rows) : null, why.held_by.length ? holders(why.held_by) : null];
}

function holders(list) {
  const heads = ["holder", "type", "device", "fraction", "memory", "since", "expected_end"].map((word) => h("th", { scope: "col" }, t(word)));
  const rows = list.map((each) => h("tr", {},
    h("td", {}, h("a", { href: `#/tasks/${encodeURIComponent(each.task_id)}` }, each.task_id.slice(0, 8))), h("td", {}, t(each.type)),
    h("td", { class: "mono" }, each.device), h("td", { class: "end" }, percent(each.gpu_fraction)), h("td", { class: "end" }, gigabytes(each.memory_gb)),
    h("td", {}, instant(each.since)), h("td", {}, instant(each.expected_end_at))));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("held_by") },
    h("table", {}, h("caption", {}, t("held_by")), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)));
}
