/** The predictions of an inference, page by page: by picture and frame, or one row for each file. */
import { api } from "../api.js";
import { fill, h, setText } from "../dom.js";
import { NONE, duration, number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { attempt } from "./notices.js";

const t = translator(words);
const PAGE_ROWS = 100;
const COLUMNS = { segment: ["file", "segment", "class", "confidence", "others"], file: ["file", "frames", "class", "confidence", "others"] };

/** The section; `refresh()` reads it once the task has ended. */
export function inferenceResults(taskId, signal) {
  const level = h("select", { id: "result-level", onchange: () => attempt(() => read("")) }, ["segment", "file"].map((value) => h("option", { value }, t(`level_${value}`))));
  const head = h("thead");
  const body = h("tbody");
  const count = h("span", { class: "quiet small number", role: "status" });
  const more = h("button", { type: "button", hidden: true }, t("more"));
  const table = h("div", { class: "table-wrap results", tabindex: "0", role: "region", "aria-label": t("predictions") }, h("table", { class: "dense" }, head, body));
  const empty = h("p", { class: "quiet" }, t("no_results"));
  const content = h("div", { class: "stack", hidden: true }, h("div", { class: "row" }, h("label", { for: "result-level", class: "small" }, t("show")), level, count), table, h("div", {}, more));
  let shown = 0;
  let turn = 0;

  async function read(cursor) {
    turn += 1;
    const mine = turn;
    const query = { limit: PAGE_ROWS, level: level.value, cursor };
    const page = await api(`/api/v2/inference/${encodeURIComponent(taskId)}/results`, { query, signal });
    if (mine !== turn) return;
    const rows = page.predictions ?? page.files;
    if (!cursor) {
      shown = 0;
      fill(head, h("tr", {}, COLUMNS[level.value].map((name) => h("th", { scope: "col" }, t(name)))));
      fill(body);
    }
    shown += rows.length;
    body.append(...rows.map((row) => resultRow(row, level.value)));
    setText(count, t("of_total", { shown: number(shown), total: number(page.total) }));
    more.hidden = !page.next_cursor;
    more.onclick = () => attempt(() => read(page.next_cursor));
    empty.hidden = true;
    content.hidden = false;
  }

  const section = h("section", { class: "card stack", "aria-labelledby": "predictions" }, h("h2", { id: "predictions" }, t("predictions")), empty, content);
  return { elements: [section], refresh: (task) => (task.status === "completed" ? read("") : undefined) };
}

function resultRow(row, level) {
  const second = level === "file" ? number(row.frames) : segmentText(row);
  const others = (row.top ?? []).slice(1, 3).map((each) => `${each.class} ${number(each.confidence, 1)} %`).join(", ");
  return h("tr", {}, h("td", { class: "break" }, row.file), h("td", { class: "number" }, second), h("td", { class: "strong break" }, row.class ?? NONE),
    h("td", {}, confidenceBar(row.confidence)), h("td", { class: "quiet small break" }, row.error ? `${t("fault")}: ${row.error}` : others));
}

function segmentText(row) {
  if (row.segment === null) return NONE;
  return row.start_s === null || row.start_s === undefined ? String(row.segment) : `${row.segment} · ${duration(row.start_s)}`;
}

function confidenceBar(value) {
  if (value === null || value === undefined) return NONE;
  return h("span", { class: "progress" }, h("span", { class: "track", "aria-hidden": "true" }, h("span", { style: { width: `${value}%` } })), h("span", { class: "number small" }, `${number(value, 1)} %`));
}
