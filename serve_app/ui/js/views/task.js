/** One task: how far it is, its log, what it has found, what it holds, and everything that can be done to it. */
import { ApiError, api } from "../api.js";
import { fill, h, onceAFrame, setText } from "../dom.js";
import { NONE, duration, gigabytes, instant, percent, shortInstant } from "../format.js";
import { translator } from "../i18n.js";
import { evaluationResults } from "../parts/evaluation_results.js";
import { inferenceResults } from "../parts/inference_results.js";
import { logView } from "../parts/log_view.js";
import { attempt, explain, notice } from "../parts/notices.js";
import { preprocessingResults } from "../parts/preprocessing_results.js";
import { facts, stateBadge, updateBadge } from "../parts/small.js";
import { actionsFor } from "../parts/task_actions.js";
import { attemptsTable } from "../parts/task_attempts.js";
import { taskFiles } from "../parts/task_files.js";
import { hasEnded, isWaiting, partOfTask, secondsRun, stepText, taskKind, taskName, timeLeft } from "../parts/task_words.js";
import { trainingResults } from "../parts/training_results.js";
import { useModel } from "../parts/use_model.js";
import { askWhy, whyContent } from "../parts/why.js";
import * as state from "../state.js";
import { words } from "../words/task.js";

const t = translator(words);
const CLOCK_MS = 1000;
const WHY_MS = 5000;
/** What could not be read is read again with a later change of the task, but not with each. */
const RETRY_MS = 5000;
const RESULTS = { training: trainingResults, inference: inferenceResults, evaluate: evaluationResults };

export async function open({ root, params, signal }) {
  const task = await readTask(root, params.id, signal);
  if (!task || signal.aborted) return;
  const view = new TaskView(root, task, signal);
  await Promise.all([state.ready(), view.begin()]);
}

async function readTask(root, id, signal) {
  const task = await taskOrNull(id, signal);
  if (!task) fill(root, h("h1", {}, t("task")), notice(t("unknown_task", { id }), "warn", h("a", { href: "#/tasks" }, t("to_tasks"))));
  return task;
}

/** The task, or null where the service knows of none. */
async function taskOrNull(id, signal) {
  try {
    return await api(`/api/v2/tasks/${encodeURIComponent(id)}`, { signal });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return null;
  }
}

/** One opened task. Its results are read again when the epoch or the state changes. */
class TaskView {
  #task;
  #signal;
  #parts;
  #results;
  #files;
  #lastResults = "";
  #reading = "";
  #failedAt = -Infinity;
  #isDeleted = false;
  #isListed = false;
  #isLooking = false;
  #askedWhy = -Infinity;
  #history = [];
  #leases = [];
  #draw;

  constructor(root, task, signal) {
    this.#task = task;
    this.#signal = signal;
    this.#results = (RESULTS[task.task_type] ?? preprocessingResults)(task.task_id, signal);
    this.#files = taskFiles(task.task_id, signal);
    this.#parts = {
      badge: stateBadge(task.status), actions: h("div", { class: "row" }), step: h("span", { class: "number" }), message: h("p", { class: "quiet break" }),
      bar: h("progress", { max: 100, "aria-label": t("progress") }), percent: h("span", { class: "number strong" }),
      notices: h("div", { class: "stack" }), facts: h("div"), history: h("ol", { class: "history" }), attempts: h("div"), use: h("div"),
      historyFault: h("div"), leasesFault: h("div"), resultsFault: h("div"), filesFault: h("div"),
    };
    this.#draw = onceAFrame(() => this.#take(state.tasks.get(task.task_id)), signal);
    this.#build(root);
  }

  begin() {
    state.subscribe("tasks", this.#draw, this.#signal);
    state.subscribe("deleted", (id) => id === this.#task.task_id && attempt(() => this.#lookWhetherDeleted()), this.#signal);
    const clock = setInterval(() => this.#tick(), CLOCK_MS);
    this.#signal.addEventListener("abort", () => clearInterval(clock));
    return this.#show();
  }

  #build(root) {
    const task = this.#task;
    const parts = this.#parts;
    const side = h("div", { class: "grid" },
      h("section", { class: "card stack", "aria-labelledby": "facts" }, h("h2", { id: "facts" }, t("facts")), parts.facts),
      h("section", { class: "card stack", "aria-labelledby": "history" }, h("h2", { id: "history" }, t("history")), parts.historyFault, parts.leasesFault, parts.attempts, parts.history));
    fill(root,
      h("p", { class: "small" }, h("a", { href: "#/tasks" }, `← ${t("tasks")}`)),
      h("div", { class: "view-head" }, h("div", { class: "row" }, h("h1", {}, taskName(task)), parts.badge, h("span", { class: "quiet" }, taskKind(task))), parts.actions),
      h("section", { class: "card stack", "aria-label": t("progress"), dataset: { part: `of-${partOfTask(task)}` } }, h("div", { class: "row progress-head" }, parts.bar, parts.percent, parts.step), parts.message),
      parts.notices, parts.use, parts.resultsFault, this.#results.elements,
      h("section", { class: "card stack", "aria-labelledby": "log" }, h("h2", { id: "log" }, t("log")), logView(task.task_id, this.#signal)),
      side, parts.filesFault, this.#files.element);
  }

  /** Take in what is known newly. */
  #take(task) {
    if (this.#isDeleted) return;
    if (!task && this.#isListed) attempt(() => this.#lookWhetherDeleted());
    this.#isListed = Boolean(task);
    if (task && task !== this.#task) {
      this.#task = task;
      attempt(() => this.#show());
    }
  }

  /** A task that left the list may only be too old for it; the service knows. */
  async #lookWhetherDeleted() {
    if (this.#isLooking || this.#isDeleted) return;
    this.#isLooking = true;
    const task = await taskOrNull(this.#task.task_id, this.#signal).finally(() => {
      this.#isLooking = false;
    });
    if (this.#signal.aborted || task) return;
    this.#isDeleted = true;
    fill(this.#parts.notices, notice(t("was_deleted"), "warn", h("a", { href: "#/tasks" }, t("to_tasks"))));
    fill(this.#parts.actions);
  }

  async #show() {
    const task = this.#task;
    this.#drawHead(task);
    this.#drawNotices(task);
    fill(this.#parts.facts, facts(factsOf(task)));
    const results = `${task.status} ${task.current_epoch} ${task.started_at} ${"val_loss" in (task.latest_metrics ?? {})}`;
    if (task.status === "completed" && task.task_type === "training" && !this.#parts.use.hasChildNodes()) this.#parts.use.append(useModel(task));
    if (results === this.#lastResults || results === this.#reading) return;
    if (performance.now() - this.#failedAt < RETRY_MS && task.status === "running") return;
    await this.#readSections(task, results);
  }

  /** Read what no event tells; `results` says which state of the task it is that is read. */
  async #readSections(task, results) {
    const { historyFault, leasesFault, resultsFault, filesFault } = this.#parts;
    this.#reading = results;
    const reads = [this.#readInto(historyFault, "history", () => this.#drawHistory()), this.#readInto(leasesFault, "leases", () => this.#readLeases())];
    if (task.started_at) {
      reads.push(this.#readInto(resultsFault, "results", () => this.#results.refresh(task)), this.#readInto(filesFault, "files", () => this.#files.refresh()));
    }
    const isWhole = (await Promise.all(reads)).every(Boolean);
    if (this.#reading !== results) return; // a newer state is being read
    this.#reading = "";
    if (isWhole) this.#lastResults = results;
    else this.#failedAt = performance.now();
  }

  /** Read one section; where that fails it says so in its own place, and the others stay. Gives whether it was read. */
  async #readInto(place, word, read) {
    try {
      await read();
      fill(place);
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      if (!(error instanceof ApiError)) throw error;
      const again = h("button", { type: "button", onclick: () => this.#readInto(place, word, read) }, t("try_again"));
      fill(place, notice(t("section_failed", { section: t(word), reason: explain(error) }), "warn", h("div", {}, again)));
      return false;
    }
  }

  #drawHead(task) {
    const parts = this.#parts;
    updateBadge(parts.badge, task.status);
    if (parts.bar.value !== task.progress) parts.bar.value = task.progress;
    setText(parts.percent, `${task.progress} %`);
    setText(parts.message, task.message);
    this.#tick();
    const actions = actionsFor([task]).filter((action) => action.id !== "why_waits");
    const says = actions.map((action) => action.id).join();
    if (parts.actions.dataset.says === says) return;
    parts.actions.dataset.says = says;
    const run = (id) => actionsFor([this.#task]).find((action) => action.id === id)?.run();
    fill(parts.actions, actions.map((action) => h("button", { type: "button", class: action.isDangerous ? "danger" : "", title: action.hint, onclick: () => run(action.id) }, action.label)));
  }

  #drawNotices(task) {
    if (task.error) {
      const { code, message, hint } = task.error;
      fill(this.#parts.notices, notice(t("error", { message }), "bad", hint && h("p", {}, t("error_hint", { hint })), h("p", { class: "small mono" }, t("error_code", { code }))));
    } else if (isWaiting(task)) this.#drawWhy();
    else fill(this.#parts.notices);
  }

  async #drawWhy() {
    if (performance.now() - this.#askedWhy < WHY_MS) return;
    this.#askedWhy = performance.now();
    const why = await askWhy(this.#task.task_id).catch(() => null);
    if (why && isWaiting(this.#task)) fill(this.#parts.notices, h("section", { class: "notice stack", dataset: { tone: "warn" }, "aria-label": t("waits") }, h("h2", {}, t("waits")), whyContent(why)));
  }

  async #drawHistory() {
    const { history } = await this.#ask("history");
    this.#history = history;
    fill(this.#parts.history, history.map((step) => h("li", {}, h("time", { class: "quiet small number", datetime: step.at, title: instant(step.at) }, shortInstant(step.at)),
      h("span", { class: "stack" }, h("span", {}, stateBadge(step.after)), h("span", { class: "small break" }, step.cause)))));
    this.#drawAttempts();
  }

  async #readLeases() {
    const { leases } = await this.#ask("leases");
    this.#leases = leases;
    this.#drawAttempts();
  }

  /** The attempts stand in the history; where the leases cannot be read, they are shown without their devices. */
  #drawAttempts() {
    fill(this.#parts.attempts, attemptsTable(this.#history, this.#leases));
  }

  #ask(what) {
    return api(`/api/v2/tasks/${encodeURIComponent(this.#task.task_id)}/${what}`, { signal: this.#signal });
  }

  /** What changes with the time alone. */
  #tick() {
    const task = this.#task;
    const left = timeLeft(task);
    const ran = secondsRun(task);
    const texts = [stepText(task), ran === null ? "" : `${t("ran_for")} ${duration(ran)}`, hasEnded(task) ? "" : left.text];
    setText(this.#parts.step, texts.filter(Boolean).join(" · "));
    this.#parts.step.title = left.title;
    if (isWaiting(task)) this.#drawWhy();
  }
}

function factsOf(task) {
  const { lease } = task;
  const holds = lease && t("lease_text", { fraction: percent(lease.gpu_fraction), device: lease.device, memory: gigabytes(lease.memory_gb), since: shortInstant(lease.granted_at) });
  const rows = [
    [t("id"), h("code", {}, task.task_id)], [t("model"), task.model], [t("device"), h("code", {}, task.device)], [t("lease"), holds],
    [t("priority"), task.priority], [t("position"), task.queue_position], [t("batch_size"), task.batch_size], [t("attempts"), task.attempts],
    [t("submitted"), instant(task.created_at)], [t("started"), task.started_at && instant(task.started_at)], [t("ended"), task.finished_at && instant(task.finished_at)],
    [t("output"), h("code", {}, task.output_path || NONE)], [t("description"), task.description],
  ];
  return rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
}
