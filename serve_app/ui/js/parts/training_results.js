/** What a training has found so far: curves, figures, confusion matrix. Read again with every epoch that ends. */
import { api } from "../api.js";
import { clearChart, drawChart } from "../charts.js";
import { fill, h } from "../dom.js";
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { confusionTable } from "./confusion.js";

const t = translator(words);
const FIGURES = ["macro_f1", "micro_f1", "mAP", "top1_acc", "top3_acc", "top5_acc", "macro_precision", "macro_recall", "train_loss", "val_loss", "train_acc", "val_acc", "learning_rate"];
/** The best of these is the least. */
const LESS_IS_BETTER = new Set(["train_loss", "val_loss"]);
const IN_PERCENT = new Set(["top1_acc", "top3_acc", "top5_acc", "train_acc", "val_acc"]);
const CURVES = { loss: ["train_loss", "val_loss"], accuracy: ["train_acc", "val_acc"] };

/** The sections, and `refresh()` which reads and draws them anew. */
export function trainingResults(taskId, signal) {
  const parts = {
    loss: h("div", { class: "chart", role: "img", "aria-label": t("loss") }), accuracy: h("div", { class: "chart", role: "img", "aria-label": t("accuracy") }),
    charts: h("div", { class: "grid charts" }), table: h("div"), figures: h("div", { class: "stack" }), confusion: h("div", { class: "stack" }),
    empty: h("p", { class: "quiet" }, t("no_epoch")), isTableOpen: false,
  };
  parts.charts.append(h("div", {}, h("h3", {}, t("loss")), parts.loss), h("div", {}, h("h3", {}, t("accuracy")), parts.accuracy));
  parts.charts.hidden = true;
  const curves = h("section", { class: "card stack", "aria-labelledby": "curves" }, h("h2", { id: "curves" }, t("curves")), parts.empty, parts.charts, parts.table);
  const beside = h("div", { class: "grid", hidden: true },
    h("section", { class: "card stack", "aria-labelledby": "figures" }, h("h2", { id: "figures" }, t("figures")), parts.figures),
    h("section", { class: "card stack", "aria-labelledby": "confusion" }, h("h2", { id: "confusion" }, t("confusion")), parts.confusion));
  signal.addEventListener("abort", () => [parts.loss, parts.accuracy].forEach(clearChart));

  async function refresh() {
    const base = `/api/v2/training/${encodeURIComponent(taskId)}`;
    const matrixRead = readMatrix(base); // its file may be missing though the curves are there
    const history = await api(`${base}/metrics`, { signal });
    if (signal.aborted || !history.epochs) return;
    parts.empty.hidden = true;
    parts.charts.hidden = false;
    beside.hidden = false;
    drawTables(parts, history.columns);
    await Promise.all(Object.keys(CURVES).map((name) => drawCurve(parts[name], name, history.columns)));
    const { matrix, error } = await matrixRead;
    if (error) throw error;
    if (matrix.labels.length) fill(parts.confusion, confusionTable(matrix.labels, matrix.counts, t("confusion_of", { epoch: matrix.epoch })));
  }

  /** The matrix, or why it cannot be had: told once the curves are drawn. */
  function readMatrix(base) {
    return api(`${base}/confusion_matrix`, { signal }).then((matrix) => ({ matrix }), (error) => ({ error }));
  }

  return { elements: [curves, beside], refresh };
}

function drawCurve(element, name, columns) {
  const traces = CURVES[name].map((column, index) => ({
    x: columns.epoch, y: columns[column], name: t(column), mode: "lines+markers", line: { dash: index ? "dash" : "solid", width: 2 }, marker: { symbol: index ? "square" : "circle", size: 6 },
  }));
  const dtick = columns.epoch.length <= 12 ? 1 : undefined;
  return drawChart(element, traces, { x: t("epoch"), y: t(name === "loss" ? "loss" : "accuracy_percent"), layout: { xaxis: { dtick }, yaxis: name === "loss" ? {} : { range: [0, 103] } } });
}

function drawTables(parts, columns) {
  const names = ["train_loss", "val_loss", "train_acc", "val_acc", "macro_f1", "mAP"].filter((name) => columns[name]);
  const heads = ["epoch", ...names].map((name) => h("th", { scope: "col", class: "end" }, t(name)));
  const rows = columns.epoch.map((epoch, index) => h("tr", {}, h("th", { scope: "row", class: "end" }, epoch), names.map((name) => h("td", { class: "end" }, figure(name, columns[name][index])))));
  const details = h("details", { open: parts.isTableOpen, ontoggle: () => {
    parts.isTableOpen = details.open;
  } }, h("summary", { class: "small" }, t("as_table")), h("div", { class: "table-wrap epochs", tabindex: "0", role: "region", "aria-label": t("curves") }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows))));
  fill(parts.table, details);
  const shown = FIGURES.filter((name) => columns[name]);
  const last = columns.epoch.length - 1;
  const figures = shown.map((name) => h("tr", {}, h("th", { scope: "row" }, t(name)), h("td", { class: "end" }, figure(name, columns[name][last])), h("td", { class: "end" }, name === "learning_rate" ? "" : figure(name, best(name, columns[name])))));
  fill(parts.figures, h("table", { class: "dense" }, h("caption", { class: "quiet small" }, t("figures_of", { epoch: columns.epoch[last] })),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("figure")), h("th", { scope: "col", class: "end" }, t("last")), h("th", { scope: "col", class: "end" }, t("best")))), h("tbody", {}, figures)));
}

function best(name, values) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return null;
  return LESS_IS_BETTER.has(name) ? Math.min(...known) : Math.max(...known);
}

function figure(name, value) {
  if (name === "learning_rate" && value) return value.toExponential(2);
  return IN_PERCENT.has(name) && value !== null ? `${number(value, 2)} %` : number(value, 4);
}
