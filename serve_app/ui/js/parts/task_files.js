/** The files that a task wrote, to look at and to take away. */
import { api } from "../api.js";
import { fill, h, setText } from "../dom.js";
import { bytes, shortInstant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { attempt } from "./notices.js";
import { saveFrom } from "./saving.js";

const t = translator(words);
const PAGE_ROWS = 200;

/** The section; `refresh()` reads the first page anew. */
export function taskFiles(taskId, signal) {
  const base = `/api/v2/tasks/${encodeURIComponent(taskId)}/files`;
  const body = h("tbody");
  const folder = h("p", { class: "quiet small break" });
  const more = h("button", { type: "button", hidden: true }, t("more"));
  const heads = [h("th", { scope: "col" }, t("file")), h("th", { scope: "col", class: "end" }, t("size")), h("th", { scope: "col" }, t("modified")), h("td", {})];
  const table = h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("files"), hidden: true }, h("table", { class: "dense" }, h("thead", {}, h("tr", {}, heads)), body));
  const empty = h("p", { class: "quiet" }, t("no_files"));
  const refreshButton = h("button", { type: "button", class: "plain", onclick: () => attempt(() => read("")) }, t("refresh"));

  async function read(cursor) {
    const page = await api(base, { query: { limit: PAGE_ROWS, cursor }, signal });
    if (!cursor) fill(body);
    body.append(...page.files.map((file) => fileRow(base, file)));
    table.hidden = !body.hasChildNodes();
    empty.hidden = !table.hidden;
    more.hidden = !page.next_cursor;
    more.onclick = () => attempt(() => read(page.next_cursor));
    setText(folder, t("files_in", { folder: page.output_path }));
  }

  const section = h("section", { class: "card stack", "aria-labelledby": "files" }, h("div", { class: "spread" }, h("h2", { id: "files" }, t("files")), refreshButton), folder, empty, table, h("div", {}, more));
  return { element: section, refresh: () => read("") };
}

function fileRow(base, file) {
  const path = `${base}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
  const name = file.path.split("/").at(-1);
  const save = h("button", { type: "button", class: "plain small", "aria-label": t("download_of", { path: file.path }), onclick: () => attempt(() => saveFrom(path, name)) }, t("download"));
  return h("tr", {}, h("td", { class: "mono break" }, file.path), h("td", { class: "end" }, bytes(file.size_bytes)), h("td", { class: "small" }, shortInstant(file.modified_at)), h("td", { class: "end" }, save));
}
