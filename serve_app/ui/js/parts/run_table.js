/** The trainings to compare or register, as rows that stay the same elements while their tasks go on. */
import { h, keyed, setText } from "../dom.js";
import { instant, number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/models.js";
import { fillCell, tableHead } from "./model_cards.js";
import { stateBadge, updateBadge } from "./small.js";

const t = translator(words);
const COLUMNS = ["select_to_compare", "name", "status", "model", "accuracy", "created", "actions"];

/**
 * The card with the trainings.
 * @param {{compareBox: (id: string, name: string) => HTMLElement, register: (values: Object) => void}} view
 * @returns {{element: HTMLElement, show: (runs: Array<Object>) => void}}
 */
export function runTable(view) {
  const text = h("p", { class: "quiet small" });
  const rows = h("tbody", {});
  const table = h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("runs"), hidden: true },
    h("table", {}, h("caption", { class: "visually-hidden" }, t("runs")), tableHead(COLUMNS), rows));
  const show = (runs) => {
    setText(text, t(runs.length ? "runs_text" : "no_runs"));
    table.hidden = runs.length === 0;
    keyed(rows, runs, { key: (task) => task.task_id, create: createRow, update: (row, task) => updateRow(row, task, view) });
  };
  return { element: h("div", { class: "card stack" }, h("h2", {}, t("runs")), text, table), show };
}

function createRow(task) {
  const parts = { box: h("td", {}), link: h("a", { href: `#/tasks/${encodeURIComponent(task.task_id)}` }), badge: stateBadge(task.status), model: h("td", {}),
    accuracy: h("td", { class: "number" }), created: h("td", { class: "number small" }), register: h("td", {}) };
  const row = h("tr", { dataset: { run: task.task_id } }, parts.box, h("td", {}, parts.link), h("td", {}, parts.badge), parts.model, parts.accuracy, parts.created, parts.register);
  row.parts = parts;
  return row;
}

function updateRow({ parts }, task, view) {
  const name = task.name || task.description || task.task_id.slice(0, 8);
  const accuracy = task.latest_metrics?.best_acc ?? task.latest_metrics?.val_acc ?? null;
  fillCell(parts.box, name, () => view.compareBox(`task:${task.task_id}`, name));
  setText(parts.link, name);
  updateBadge(parts.badge, task.status);
  setText(parts.model, task.model ?? "–");
  setText(parts.accuracy, accuracy === null ? "–" : `${number(accuracy, 2)} %`);
  setText(parts.created, instant(task.created_at));
  fillCell(parts.register, task.status === "completed", () => registerButton(task, view));
}

function registerButton(task, view) {
  if (task.status !== "completed") return [];
  return h("button", { type: "button", onclick: () => view.register({ task_id: task.task_id }) }, t("register_this"));
}
