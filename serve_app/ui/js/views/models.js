/** The registry: what models there are, which version is production, and how versions and trainings compare. */
import { api } from "../api.js";
import { fill, h, onceAFrame, setText } from "../dom.js";
import { translator } from "../i18n.js";
import { comparisonPanel } from "../parts/comparison.js";
import { drawModelCards } from "../parts/model_cards.js";
import { explain, notice } from "../parts/notices.js";
import { registerVersion } from "../parts/register.js";
import { runTable } from "../parts/run_table.js";
import { replaceQuery } from "../router.js";
import { newestFirst, ready, subscribe } from "../state.js";
import { words } from "../words/models.js";

const t = translator(words);
/** Of one comparison; the service takes no more. */
const MOST_COMPARED = 32;
const MOST_RUNS = 50;

export async function open({ root, query, signal }) {
  const view = { signal, chosen: new Set([...query.getAll("model").map((id) => `model:${id}`), ...query.getAll("task").map((id) => `task:${id}`)]) };
  view.compareBox = (id, name) => compareBox(view, id, name);
  view.register = (values) => register(view, values);
  view.list = h("div", { class: "stack" });
  view.said = h("div", { class: "stack" }, h("p", { class: "quiet" }, t("loading")));
  view.runs = runTable(view);
  view.comparison = comparisonPanel({ signal });
  view.compare = h("button", { type: "button", class: "primary", onclick: () => view.comparison.show([...view.chosen]) });
  const begin = h("button", { type: "button", onclick: () => register(view, {}) }, t("register"));
  fill(root, h("div", { class: "view-head" }, h("div", {}, h("h1", {}, t("models")), h("p", { class: "quiet" }, t("models_text"))), begin), view.said, view.list, view.runs.element,
    h("div", { class: "row compare-row" }, view.compare, h("span", { class: "small quiet" }, t("compare_pick"))), view.comparison.element);
  view.readAgain = onceAFrame(() => read(view), signal);
  subscribe("models", view.readAgain, signal);
  subscribe("tasks", onceAFrame(() => drawRuns(view), signal), signal);
  drawCompare(view);
  await Promise.all([read(view), ready().then(() => drawRuns(view)).catch(() => undefined)]);
  if (signal.aborted) return;
  if (query.get("register")) register(view, { task_id: query.get("register") });
  if (view.chosen.size) view.comparison.show([...view.chosen]);
}

async function register(view, values) {
  if (await registerVersion({ values, signal: view.signal })) view.readAgain();
}

async function read(view) {
  try {
    const { models } = await api("/api/v2/models", { signal: view.signal });
    fill(view.said, models.length ? null : noneYet());
    drawModelCards(view.list, models, view);
  } catch (error) {
    if (!view.signal.aborted) fill(view.said, notice(t("failed_to_load", { reason: explain(error) }), "bad", h("button", { type: "button", onclick: () => read(view) }, t("try_again"))));
  }
}

function noneYet() {
  return h("section", { class: "card empty stack" }, h("h2", {}, t("none_yet")), h("p", { class: "quiet" }, t("none_yet_text")),
    h("div", { class: "row" }, h("a", { class: "button primary", href: "#/new/training" }, t("train_one"))));
}

function drawRuns(view) {
  view.runs.show(newestFirst().filter((task) => task.task_type === "training").slice(0, MOST_RUNS));
}

function compareBox(view, id, name) {
  const change = () => {
    if (box.checked && view.chosen.size >= MOST_COMPARED) box.checked = false;
    else if (box.checked) view.chosen.add(id);
    else view.chosen.delete(id);
    drawCompare(view);
  };
  const box = h("input", { type: "checkbox", checked: view.chosen.has(id), "aria-label": t("compare_box", { name }), onchange: change });
  return box;
}

/** The button says how many are chosen, and the address which: a comparison can be linked to. */
function drawCompare(view) {
  view.compare.disabled = view.chosen.size === 0;
  setText(view.compare, view.chosen.size ? t("compare_n", { count: view.chosen.size }) : t("compare"));
  const of = (kind) => [...view.chosen].filter((id) => id.startsWith(`${kind}:`)).map((id) => id.slice(kind.length + 1));
  replaceQuery({ model: of("model"), task: of("task") });
}
