/** The models with their versions. A card, a row and a cell stay the same elements for as long as they say the same: focus and clicks are not lost. */
import { fill, h, keyed, setText } from "../dom.js";
import { bytes, instant, number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/models.js";
import { previousOf, rollBack } from "./roll_back.js";
import { PRODUCTION, removeAlias, versionMenu } from "./version_actions.js";

const t = translator(words);
const COLUMNS = ["select_to_compare", "version", "aliases", "accuracy", "f1", "computes_in", "made_from", "size", "registered_at", "actions"];

/** The head of a table whose first column is told to screen readers only. */
export function tableHead(columns) {
  const [first, ...rest] = columns.map((name) => t(name));
  return h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, first)), rest.map((text) => h("th", { scope: "col" }, text))));
}

/** Fill a cell where what it says has changed. */
export function fillCell(cell, told, make) {
  const text = JSON.stringify(told);
  if (cell.told === text) return;
  cell.told = text;
  fill(cell, make());
}

/**
 * Show these models.
 * @param {HTMLElement} list only this function may change its children
 * @param {{compareBox: (id: string, name: string) => HTMLElement, readAgain: () => void}} view
 */
export function drawModelCards(list, models, view) {
  keyed(list, models, { key: (model) => model.name, create: createCard, update: (card, model) => updateCard(card, model, view) });
}

function createCard({ name }) {
  const parts = { back: h("div", {}), means: h("p", { class: "quiet small" }), rows: h("tbody", {}) };
  const table = h("table", {}, h("caption", { class: "visually-hidden" }, name), tableHead(COLUMNS), parts.rows);
  const card = h("section", { class: "card stack", "aria-label": name }, h("div", { class: "spread" }, h("h2", { class: "break" }, name), parts.back),
    parts.means, h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": name }, table));
  card.parts = parts;
  return card;
}

function updateCard({ parts }, model, view) {
  setText(parts.means, model.default_version === null ? t("production_none") : t("default_is", { name: model.name, version: model.default_version }));
  fillCell(parts.back, [model.aliases[PRODUCTION], model.versions.map(({ version, aliases }) => [version, aliases])], () => backButton(model, view));
  keyed(parts.rows, [...model.versions].reverse(), { key: (version) => String(version.version), create: createRow, update: (row, version) => updateRow(row, model, version, view) });
}

function backButton(model, view) {
  if (previousOf(model) === null) return [];
  return h("button", { type: "button", onclick: () => rollBack(model).then(view.readAgain) }, `↶ ${t("roll_back")}`);
}

function createRow() {
  const cells = Object.fromEntries(COLUMNS.map((name) => [name, h(name === "version" ? "th" : "td", { scope: name === "version" ? "row" : null })]));
  for (const name of ["version", "accuracy", "f1", "size", "registered_at"]) cells[name].className = "number";
  cells.registered_at.classList.add("small");
  const row = h("tr", {}, Object.values(cells));
  row.parts = cells;
  return row;
}

function updateRow({ parts: cells }, model, version, view) {
  const id = `${model.name}@${version.version}`;
  const { metrics } = version;
  const accuracy = metrics.best_acc ?? metrics.val_acc;
  const { serving } = version.model_card;
  fillCell(cells.select_to_compare, id, () => view.compareBox(`model:${id}`, id));
  fillCell(cells.aliases, version.aliases, () => h("div", { class: "row" }, version.aliases.map((alias) => aliasBadge(model, alias, view))));
  fillCell(cells.computes_in, serving.chosen, () => computesIn(serving));
  fillCell(cells.made_from, version.lineage.task_id, () => madeFrom(version.lineage));
  fillCell(cells.actions, [model.aliases, version], () => versionMenu(model, version, view.readAgain));
  setText(cells.version, version.version);
  setText(cells.accuracy, accuracy === undefined ? "–" : `${number(accuracy, 2)} %`);
  setText(cells.f1, number(metrics.macro_f1, 3));
  setText(cells.size, bytes(version.size_bytes));
  setText(cells.registered_at, instant(version.created_at));
}

function aliasBadge(model, alias, view) {
  const remove = h("button", { type: "button", class: "plain tiny", "aria-label": t("remove_alias", { alias }), onclick: () => removeAlias(model, alias).then(view.readAgain) }, "×");
  return h("span", { class: "badge", dataset: { tone: alias === PRODUCTION ? "good" : "" } }, alias === PRODUCTION ? "★ " : "", alias, " ", remove);
}

function computesIn(serving) {
  const chosen = Object.entries(serving.chosen);
  if (!chosen.length) return h("span", { class: "quiet small" }, t("not_loaded"));
  return chosen.map(([kind, load]) => h("span", { class: "block small" }, `${kind}: ${load.precision}`));
}

function madeFrom(lineage) {
  if (!lineage.task_id) return t("from_files");
  return h("a", { href: `#/tasks/${encodeURIComponent(lineage.task_id)}`, class: "mono" }, lineage.task_id.slice(0, 8));
}
