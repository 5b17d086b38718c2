/** The registry: what models there are, which version is production, and how versions and trainings compare. */
import { api } from "../api.js";
import { fill, h, onceAFrame, setText } from "../dom.js";
import { bytes, instant, number } from "../format.js";
import { translator } from "../i18n.js";
import { comparisonPanel } from "../parts/comparison.js";
import { explain, notice } from "../parts/notices.js";
import { registerVersion } from "../parts/register.js";
import { previousOf, promote, removeAlias, versionMenu } from "../parts/version_actions.js";
import { stateBadge } from "../parts/small.js";
import { replaceQuery } from "../router.js";
import { newestFirst, ready, subscribe } from "../state.js";
import { words } from "../words/models.js";

const t = translator(words);
/** Of one comparison; the service takes no more. */
const MOST_COMPARED = 32;
const MOST_RUNS = 50;

export async function open({ root, query, signal }) {
  const view = { signal, models: [], chosen: new Set([...query.getAll("model").map((id) => `model:${id}`), ...query.getAll("task").map((id) => `task:${id}`)]) };
  view.list = h("div", { class: "stack" }, h("p", { class: "quiet" }, t("loading")));
  view.runs = h("div", { class: "card stack" });
  view.comparison = comparisonPanel({ signal });
  view.compare = h("button", { type: "button", class: "primary", onclick: () => view.comparison.show([...view.chosen]) });
  const register = h("button", { type: "button", onclick: () => register_(view, {}) }, t("register"));
  fill(root, h("div", { class: "view-head" }, h("div", {}, h("h1", {}, t("models")), h("p", { class: "quiet" }, t("models_text"))), register), view.list, view.runs,
    h("div", { class: "row compare-row" }, view.compare, h("span", { class: "small quiet" }, t("compare_pick"))), view.comparison.element);
  const readSoon = onceAFrame(() => read(view), signal);
  subscribe("models", readSoon, signal);
  subscribe("tasks", onceAFrame(() => drawRuns(view), signal), signal);
  view.readAgain = readSoon;
  drawCompare(view);
  await Promise.all([read(view), ready().then(() => drawRuns(view)).catch(() => undefined)]);
  if (query.get("register")) register_(view, { task_id: query.get("register") });
  if (view.chosen.size) view.comparison.show([...view.chosen]);
}

async function register_(view, values) {
  if (await registerVersion({ values, signal: view.signal })) view.readAgain();
}

async function read(view) {
  try {
    const { models } = await api("/api/v2/models", { signal: view.signal });
    view.models = models;
    drawModels(view);
  } catch (error) {
    if (!view.signal.aborted) fill(view.list, notice(t("failed_to_load", { reason: explain(error) }), "bad", h("button", { type: "button", onclick: () => read(view) }, t("try_again"))));
  }
}

function drawModels(view) {
  if (view.models.length) return fill(view.list, view.models.map((model) => modelCard(view, model)));
  return fill(view.list, h("section", { class: "card empty stack" }, h("h2", {}, t("none_yet")), h("p", { class: "quiet" }, t("none_yet_text")),
    h("div", { class: "row" }, h("a", { class: "button primary", href: "#/new/training" }, t("train_one")))));
}

function modelCard(view, model) {
  const head = h("div", { class: "spread" }, h("h2", { class: "break" }, model.name), backButton(view, model));
  const what = model.default_version === null ? t("production_none") : t("default_is", { name: model.name, version: model.default_version });
  const columns = ["select_to_compare", "version", "aliases", "accuracy", "f1", "computes_in", "made_from", "size", "registered_at", "actions"];
  const table = h("table", {}, h("caption", { class: "visually-hidden" }, model.name), h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name === "select_to_compare" ? h("span", { class: "visually-hidden" }, t(name)) : t(name))))),
    h("tbody", {}, [...model.versions].reverse().map((version) => versionRow(view, model, version))));
  return h("section", { class: "card stack", "aria-label": model.name }, head, h("p", { class: "quiet small" }, what), h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": model.name }, table));
}

function backButton(view, model) {
  const previous = previousOf(model);
  if (!previous) return null;
  return h("button", { type: "button", onclick: () => promote(model, previous, { isBack: true }).then(view.readAgain) }, `↶ ${t("roll_back", { version: previous })}`);
}

function versionRow(view, model, version) {
  const id = `${model.name}@${version.version}`;
  const { metrics } = version;
  return h("tr", {}, h("td", {}, compareBox(view, `model:${id}`, id)),
    h("th", { scope: "row", class: "number" }, String(version.version)),
    h("td", {}, h("div", { class: "row" }, version.aliases.map((alias) => aliasBadge(view, model, alias)))),
    h("td", { class: "number" }, metrics.val_acc === undefined && metrics.best_acc === undefined ? "–" : `${number(metrics.best_acc ?? metrics.val_acc, 2)} %`),
    h("td", { class: "number" }, number(metrics.macro_f1, 3)),
    h("td", {}, computesIn(version.model_card.serving)),
    h("td", {}, madeFrom(version.lineage)),
    h("td", { class: "number" }, bytes(version.size_bytes)),
    h("td", { class: "number small" }, instant(version.created_at)),
    h("td", {}, versionMenu(model, version, view.readAgain)));
}

function aliasBadge(view, model, alias) {
  const remove = h("button", { type: "button", class: "plain tiny", "aria-label": t("remove_alias", { alias }), onclick: () => removeAlias(model, alias).then(view.readAgain) }, "×");
  return h("span", { class: "badge", dataset: { tone: alias === "production" ? "good" : "" } }, alias === "production" ? "★ " : "", alias, " ", remove);
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

function drawCompare(view) {
  view.compare.disabled = view.chosen.size === 0;
  setText(view.compare, view.chosen.size ? t("compare_n", { count: view.chosen.size }) : t("compare"));
  replaceQuery({ ...only(view, "model"), ...only(view, "task") });
}

/** The address carries one of each kind; more would not fit its form of one value for each name. */
function only(view, kind) {
  const found = [...view.chosen].filter((id) => id.startsWith(`${kind}:`));
  return found.length === 1 ? { [kind]: found[0].slice(kind.length + 1) } : {};
}

function drawRuns(view) {
  const runs = newestFirst().filter((task) => task.task_type === "training").slice(0, MOST_RUNS);
  const focused = document.activeElement?.closest("[data-run]")?.dataset.run;
  const columns = ["select_to_compare", "name", "status", "model", "accuracy", "created", "actions"];
  const table = h("table", {}, h("caption", { class: "visually-hidden" }, t("runs")), h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name === "select_to_compare" ? h("span", { class: "visually-hidden" }, t(name)) : t(name))))),
    h("tbody", {}, runs.map((task) => runRow(view, task))));
  fill(view.runs, h("h2", {}, t("runs")), h("p", { class: "quiet small" }, runs.length ? t("runs_text") : t("no_runs")), runs.length ? h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("runs") }, table) : null);
  if (focused) view.runs.querySelector(`[data-run="${CSS.escape(focused)}"] input`)?.focus();
}

function runRow(view, task) {
  const name = task.name || task.description || task.task_id.slice(0, 8);
  const accuracy = task.latest_metrics?.best_acc ?? task.latest_metrics?.val_acc;
  const register = task.status === "completed" ? h("button", { type: "button", onclick: () => register_(view, { task_id: task.task_id }) }, t("register_this")) : null;
  return h("tr", { dataset: { run: task.task_id } }, h("td", {}, compareBox(view, `task:${task.task_id}`, name)),
    h("td", {}, h("a", { href: `#/tasks/${encodeURIComponent(task.task_id)}` }, name)), h("td", {}, stateBadge(task.status)), h("td", {}, task.model ?? "–"),
    h("td", { class: "number" }, accuracy === undefined || accuracy === null ? "–" : `${number(accuracy, 2)} %`), h("td", { class: "number small" }, instant(task.created_at)), h("td", {}, register));
}
