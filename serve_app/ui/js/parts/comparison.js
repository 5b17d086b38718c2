/** Versions and trainings side by side: parameters, metrics, curves, and accuracy over signal-to-noise ratios; each chart with its table. */
import { api } from "../api.js";
import { clearChart, drawChart } from "../charts.js";
import { fill, h } from "../dom.js";
import { NONE, number } from "../format.js";
import { translator } from "../i18n.js";
import { newestFirst, tasks } from "../state.js";
import { words } from "../words/models.js";
import { explain, notice } from "./notices.js";

const t = translator(words);
const FIRST_CURVES = ["val_acc", "train_loss", "val_loss", "macro_f1"];
/** What a curve of counts or a repetition of another would not tell. */
const DASHES = ["solid", "dash", "dot", "dashdot"];
const LEGEND_ABOVE = { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, margin: { l: 50, r: 15, t: 30, b: 45 } };
const DULL = new Set(["total_epochs", "epoch"]);

/**
 * The panel below the lists.
 * @returns {{element: HTMLElement, show: (ids: Array<string>) => Promise<void>}} ids such as "model:drones@2" and "task:..."
 */
export function comparisonPanel({ signal }) {
  const element = h("section", { class: "stack comparison", "aria-label": t("compare_title"), tabindex: "-1" });
  const clear = () => element.querySelectorAll(".chart").forEach(clearChart);
  let turn = 0;
  signal.addEventListener("abort", clear);
  const show = async (ids) => {
    turn += 1;
    const mine = turn;
    clear();
    fill(element, h("p", { class: "quiet", role: "status" }, t("loading")));
    const of = (kind) => ids.filter((id) => id.startsWith(`${kind}:`)).map((id) => id.slice(kind.length + 1));
    try {
      const comparison = await api("/api/v2/comparison", { query: { model: of("model"), task: of("task") }, signal });
      const ratios = await ratiosOf(comparison.columns, signal);
      if (mine === turn) draw(element, comparison, ratios);
    } catch (error) {
      if (!signal.aborted && mine === turn) fill(element, notice(t("failed_to_load", { reason: explain(error) }), "bad"));
    }
  };
  return { element, show };
}

function draw(element, comparison, ratios) {
  const names = comparison.columns.map(nameOf);
  fill(element, h("h2", {}, t("compare_title")), h("div", { class: "grid" }, curvesCard(comparison, names), ratiosCard(ratios)),
    h("div", { class: "card stack" }, metricsTable(comparison, names)), h("div", { class: "card stack" }, parametersTable(comparison, names)));
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "start", behavior: "auto" });
}

function nameOf(column) {
  if (column.kind !== "training") return column.id;
  return tasks.get(column.id)?.name || column.description || column.id.slice(0, 8);
}

function tableOf(caption, names, rows, first) {
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, first), names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)));
}

function metricsTable({ metrics }, names) {
  const rows = Object.entries(metrics).filter(([name]) => !DULL.has(name)).map(([name, values]) => h("tr", {}, h("th", { scope: "row" }, name), values.map((value) => h("td", { class: "number" }, number(value, 4)))));
  return tableOf(t("metrics"), names, rows, t("metrics"));
}

function parametersTable({ parameters, differing }, names) {
  const row = (name) => h("tr", { class: differing.includes(name) && !box.checked ? "differs" : "", hidden: box.checked && !differing.includes(name) }, h("th", { scope: "row" }, differing.includes(name) ? "≠ " : "", name), parameters[name].map((value) => h("td", { class: "mono break" }, shown(value))));
  const box = h("input", { type: "checkbox", checked: differing.length > 0, onchange: () => fill(place, make()) });
  const make = () => tableOf(t("parameters"), names, Object.keys(parameters).map(row), t("parameter"));
  const place = h("div", {}, make());
  return [h("label", { class: "check" }, box, t("only_differing")), place];
}

function shown(value) {
  if (value === null || value === "") return NONE;
  // What was left open in an object says nothing.
  return typeof value === "object" ? JSON.stringify(value, (_, each) => (each === null ? undefined : each)) : String(value);
}

function curvesCard({ epochs, curves }, names) {
  const known = Object.keys(curves).filter((name) => !DULL.has(name));
  const order = [...FIRST_CURVES.filter((name) => known.includes(name)), ...known.filter((name) => !FIRST_CURVES.includes(name))];
  if (!order.length) return h("section", { class: "card stack" }, h("h3", {}, t("curves")), h("p", { class: "quiet" }, t("compare_nothing")));
  const chart = h("div", { class: "chart", role: "img" });
  const below = h("div", {});
  const select = h("select", { id: "curve", onchange: () => show() }, order.map((name) => h("option", { value: name }, name)));
  const show = () => {
    const name = select.value;
    chart.setAttribute("aria-label", name);
    const traces = names.map((label, index) => ({ name: label, x: epochs, y: curves[name][index], mode: "lines+markers", line: { dash: DASHES[index % DASHES.length] }, marker: { symbol: index } }));
    drawChart(chart, traces, { x: t("epoch"), y: name, layout: LEGEND_ABOVE }).catch((error) => fill(below, notice(explain(error), "bad")));
    const rows = epochs.map((epoch, index) => h("tr", {}, h("th", { scope: "row" }, String(epoch)), names.map((_, column) => h("td", { class: "number" }, number(curves[name][column][index], 4)))));
    fill(below, folded(name, tableOf(name, names, rows, t("epoch"))));
  };
  queueMicrotask(show);
  return h("section", { class: "card stack", "aria-label": t("curves") }, h("div", { class: "spread" }, h("h3", {}, t("curves")), h("div", { class: "row" }, h("label", { for: "curve" }, t("curve")), select)), h("div", {}, chart), below);
}

function folded(what, table) {
  return h("details", {}, h("summary", {}, t("table_of", { what })), table);
}

/** Accuracy by ratio of each version: of its newest evaluation over ratios, else of its card. */
async function ratiosOf(columns, signal) {
  const found = await Promise.all(columns.filter((column) => column.kind !== "training").map((column) => ratiosOfVersion(column.id, signal)));
  return found.filter(Boolean);
}

async function ratiosOfVersion(id, signal) {
  const tasks = newestFirst().filter((task) => task.task_type === "evaluate" && task.status === "completed" && task.model === id);
  for (const task of tasks) {
    const { result } = await api(`/api/v2/evaluate/${encodeURIComponent(task.task_id)}`, { signal }).catch(() => ({ result: null }));
    const points = (result?.scores ?? []).filter((score) => score.snr_db !== null).map((score) => [score.snr_db, score.accuracy]);
    if (points.length) return { name: id, points };
  }
  const [name, version] = id.split("@");
  const { model_card: card } = await api(`/api/v2/models/${encodeURIComponent(name)}/${version}`, { signal });
  const points = Object.entries(card.metrics_by_snr ?? {}).map(([ratio, metrics]) => [Number(ratio), metrics.accuracy ?? metrics.val_acc ?? null]).filter(([ratio]) => Number.isFinite(ratio));
  return points.length ? { name: id, points: points.sort((one, other) => one[0] - other[0]) } : null;
}

function ratiosCard(ratios) {
  const heading = h("h3", {}, t("snr_curves"));
  if (!ratios.length) return h("section", { class: "card stack" }, heading, h("p", { class: "quiet" }, t("snr_none")));
  const chart = h("div", { class: "chart", role: "img", "aria-label": t("snr_curves") });
  const traces = ratios.map(({ name, points }, index) => ({ name, x: points.map(([x]) => x), y: points.map(([, y]) => y), mode: "lines+markers", marker: { symbol: index } }));
  queueMicrotask(() => drawChart(chart, traces, { x: t("snr"), y: `${t("accuracy")} (%)`, layout: { ...LEGEND_ABOVE, yaxis: { range: [0, 102] } } }).catch(() => undefined));
  const all = [...new Set(ratios.flatMap(({ points }) => points.map(([x]) => x)))].sort((one, other) => one - other);
  const rows = all.map((ratio) => h("tr", {}, h("th", { scope: "row" }, String(ratio)), ratios.map(({ points }) => h("td", { class: "number" }, number(points.find(([x]) => x === ratio)?.[1], 2)))));
  return h("section", { class: "card stack" }, heading, h("div", {}, chart), folded(t("snr_curves"), tableOf(t("snr_curves"), ratios.map((each) => each.name), rows, t("snr"))));
}
