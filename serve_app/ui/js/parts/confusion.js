/** A confusion matrix as a table whose cells are coloured by their part of the row: the picture and its figures are one. */
import { h } from "../dom.js";
import { number, percent } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";

const t = translator(words);
/** Text keeps its contrast on a colour that is mixed in no stronger than this. */
const STRONGEST_PERCENT = 38;

/**
 * @param {string[]} labels
 * @param {number[][]} counts a row for each true class
 * @param {string} caption
 */
export function confusionTable(labels, counts, caption) {
  const heads = labels.map((label) => h("th", { scope: "col" }, h("span", { class: "turned" }, label)));
  const rows = counts.map((row, index) => h("tr", {}, h("th", { scope: "row" }, labels[index]), row.map((count, column) => cell(row, count, { index, column, labels }))));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: "confusion" }, h("caption", { class: "quiet small" }, caption), h("thead", {}, h("tr", {}, h("td", { class: "quiet small" }, t("true_predicted")), heads)), h("tbody", {}, rows)));
}

function cell(row, count, { index, column, labels }) {
  const total = row.reduce((sum, each) => sum + each, 0);
  const part = total ? count / total : 0;
  const hue = index === column ? "--good" : "--bad";
  const background = `color-mix(in srgb, var(${hue}) ${Math.round(part * STRONGEST_PERCENT)}%, var(--surface))`;
  const title = t("confusion_cell", { count, total, label: labels[index], predicted: labels[column] });
  return h("td", { class: "end", style: { background }, title }, number(count), part ? h("span", { class: "small part" }, percent(part)) : null);
}
