/** What an evaluation found: accuracy and F1 by ratio of signal to noise, and the confusion at each. */
import { api } from "../api.js";
import { clearChart, drawChart } from "../charts.js";
import { fill, h } from "../dom.js";
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { confusionTable } from "./confusion.js";

const t = translator(words);

/** The section; `refresh(task)` reads it once the task has ended. */
export function evaluationResults(taskId, signal) {
  const content = h("div", { class: "stack" }, h("p", { class: "quiet" }, t("no_results")));
  const section = h("section", { class: "card stack", "aria-labelledby": "evaluation" }, h("h2", { id: "evaluation" }, t("evaluation")), content);

  async function refresh(task) {
    if (task.status !== "completed") return;
    const { result } = await api(`/api/v2/evaluate/${encodeURIComponent(taskId)}`, { signal });
    if (!signal.aborted && result) await draw(content, result, signal);
  }

  return { elements: [section], refresh };
}

async function draw(content, result, signal) {
  const chart = h("div", { class: "chart", role: "img", "aria-label": t("accuracy") });
  const matrix = h("div");
  const choice = h("select", { id: "score", onchange: () => showMatrix() }, result.scores.map((score, index) => h("option", { value: index }, ratio(score))));
  const showMatrix = () => {
    const score = result.scores[Number(choice.value)];
    fill(matrix, confusionTable(result.classes, score.confusion, `${t("confusion")}: ${ratio(score)}`));
  };
  showMatrix();
  const measured = result.scores.filter((score) => score.snr_db !== null && score.accuracy !== null);
  fill(content, measured.length ? chart : null, scoreTable(result.scores), h("div", { class: "row" }, h("label", { for: "score" }, t("snr")), choice), matrix);
  signal.addEventListener("abort", () => clearChart(chart));
  if (!measured.length) return;
  const x = measured.map((score) => score.snr_db);
  const traces = [
    { x, y: measured.map((score) => score.accuracy), name: t("accuracy"), mode: "lines+markers" },
    { x, y: measured.map((score) => score.recording_accuracy), name: t("recording_accuracy"), mode: "lines+markers", line: { dash: "dash" }, marker: { symbol: "square" } },
  ];
  await drawChart(chart, traces, { x: t("snr_axis"), y: t("accuracy_percent"), layout: { yaxis: { range: [0, 103] } } });
}

function scoreTable(scores) {
  const heads = ["snr", "frames", "accuracy", "macro_f1_short", "recording_accuracy"].map((name) => h("th", { scope: "col" }, t(name)));
  const rows = scores.map((score) => h("tr", {}, h("th", { scope: "row" }, ratio(score)), h("td", { class: "number" }, number(score.frames)), h("td", { class: "number" }, inPercent(score.accuracy)),
    h("td", { class: "number" }, number(score.macro_f1)), h("td", { class: "number" }, inPercent(score.recording_accuracy))));
  return h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("evaluation") }, h("table", { class: "dense" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows)));
}

function ratio(score) {
  return score.snr_db === null ? t("as_they_are") : t("snr_db", { value: number(score.snr_db) });
}

function inPercent(value) {
  return value === null ? number(null) : `${number(value, 1)} %`;
}
