/** The list of tasks: found by filters, live, with everything that can be done to one or several of them. */
import { api } from "../api.js";
import { fill, h, onceAFrame, setText, slicedList } from "../dom.js";
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { openMenu } from "../parts/menu.js";
import { attempt, toast } from "../parts/notices.js";
import { actionsFor } from "../parts/task_actions.js";
import { createFilters } from "../parts/task_filters.js";
import { createBatchRow, createTaskRow, tickTaskRow, updateBatchRow, updateTaskRow } from "../parts/task_rows.js";
import { showWhy } from "../parts/why.js";
import { replaceQuery } from "../router.js";
import * as state from "../state.js";
import { words } from "../words/tasks.js";

const t = translator(words);
const CLOCK_MS = 1000;
const OLDER_AT_ONCE = 500;
const COLUMNS = ["task", "type", "status", "progress", "device", "priority", "created"];

export async function open({ root, query, signal }) {
  const list = new TaskList(query, signal);
  fill(root, list.elements());
  await state.ready();
  if (signal.aborted) return;
  list.begin();
  await list.draw();
}

/** One opened list: its filters, what is selected, which batches are unfolded, and older tasks that were asked for. */
class TaskList {
  #signal;
  #filters;
  #selected = new Set();
  #unfolded = new Set();
  #older = new Map();
  #cursor = null;
  #hasOlderPage = false;
  #items = new Map();
  #shown = [];
  #rows;
  #redraw;
  #parts = {
    count: h("p", { class: "quiet small number", role: "status" }),
    body: h("div", { role: "rowgroup", class: "task-body" }),
    empty: h("div", { class: "card stack", hidden: true }),
    selection: h("div", { class: "selection row", role: "region", "aria-label": t("selection_actions"), hidden: true }),
    all: h("input", { type: "checkbox", "aria-label": t("select_all") }),
    older: h("div", { class: "row" }),
  };

  constructor(query, signal) {
    this.#signal = signal;
    if (query.get("batch")) this.#unfolded.add(batchKey(query.get("batch")));
    this.#filters = createFilters(query, () => {
      replaceQuery(this.#filters.query());
      this.draw();
    });
    const choices = {
      select: (id, isSelected) => this.#select(id, isSelected),
      isSelected: (id) => this.#selected.has(id),
      openActions: (id, button) => openMenu(button, button.getAttribute("aria-label"), actionsFor([this.#task(id)])),
      openWhy: (id) => showWhy(this.#task(id)),
      toggleBatch: (key) => this.#toggle(key),
      cancelBatch: (key) => this.#cancelBatch(this.#items.get(key)),
    };
    this.#rows = slicedList(this.#parts.body, {
      key: (item) => item.key,
      create: (item) => (item.tasks ? createBatchRow(item, choices) : createTaskRow(item, choices)),
      update: (row, item) => (item.tasks ? updateBatchRow(row, item) : updateTaskRow(row, item, choices)),
    });
    this.#redraw = onceAFrame(() => this.draw(), signal);
    this.#parts.all.addEventListener("change", () => this.#selectAll(this.#parts.all.checked));
  }

  elements() {
    const heads = COLUMNS.map((name) => h("div", { role: "columnheader", class: `c-${name === "type" ? "kind" : name}` }, t(name)));
    const head = h("div", { role: "rowgroup", class: "task-head" }, h("div", { role: "row", class: "task-row" },
      h("div", { role: "columnheader", class: "c-select" }, this.#parts.all), heads, h("div", { role: "columnheader", class: "c-menu" }, h("span", { class: "visually-hidden" }, t("actions")))));
    return [
      h("div", { class: "view-head" }, h("h1", {}, t("tasks")), h("a", { class: "button", href: "#/new/training" }, t("first_training"))),
      this.#filters.element, this.#parts.count, this.#parts.selection,
      h("div", { class: "task-table card", role: "table", "aria-label": t("table") }, head, this.#parts.body),
      this.#parts.empty, this.#parts.older,
    ];
  }

  /** Draw again with every change, and what only the time changes every second. */
  begin() {
    this.#cursor = state.olderCursor;
    state.subscribe("tasks", this.#redraw, this.#signal);
    state.subscribe("deleted", (id) => this.#older.delete(id), this.#signal);
    state.subscribe("resources", () => this.#filters.takeDevices(deviceNames()), this.#signal);
    this.#filters.takeDevices(deviceNames());
    const clock = setInterval(() => this.#rows.each((row, item) => item.task?.status === "running" && row.isConnected && tickTaskRow(row, item)), CLOCK_MS);
    this.#signal.addEventListener("abort", () => clearInterval(clock));
    this.#drawOlder();
  }

  draw() {
    const all = this.#all();
    const found = this.#filters.apply(all);
    for (const id of this.#selected) if (!this.#task(id)) this.#selected.delete(id);
    this.#shown = found;
    setText(this.#parts.count, t("shown", { shown: number(found.length), count: number(all.length) }));
    this.#drawEmpty(all.length, found.length);
    this.#drawSelection();
    this.#forgetOthers(all);
    return this.#rows.show(this.#arrange(found));
  }

  #all() {
    return state.newestFirst([...this.#older.values()].filter((task) => !state.tasks.has(task.task_id)));
  }

  /** Keep rows of tasks and batches that a filter hides, but not of those that are gone. */
  #forgetOthers(all) {
    const keys = new Set(all.flatMap((task) => (task.batch_id ? [task.task_id, batchKey(task.batch_id)] : [task.task_id])));
    for (const key of this.#items.keys()) if (!keys.has(key)) this.#items.delete(key);
    this.#rows.keep(keys);
  }

  #task(id) {
    return state.tasks.get(id) ?? this.#older.get(id);
  }

  /** The rows to show: batches of several tasks as one, with theirs below where unfolded. Rows that say the same stay the same object. */
  #arrange(tasks) {
    const batches = Map.groupBy(tasks, (task) => task.batch_id);
    const items = [];
    const placed = new Set();
    for (const task of tasks) {
      const batch = task.batch_id;
      const members = batch ? batches.get(batch) : [];
      if (members.length < 2) items.push(this.#item({ key: task.task_id, task, isMember: false }));
      else if (!placed.has(batch)) {
        placed.add(batch);
        const key = batchKey(batch);
        const isOpen = this.#unfolded.has(key);
        items.push(this.#item({ key, batch, tasks: members, isOpen }));
        if (isOpen) for (const member of members) items.push(this.#item({ key: member.task_id, task: member, isMember: true }));
      }
    }
    return items;
  }

  #item(wanted) {
    const old = this.#items.get(wanted.key);
    if (old && isSame(old, wanted)) return old;
    this.#items.set(wanted.key, wanted);
    return wanted;
  }

  #toggle(key) {
    if (!this.#unfolded.delete(key)) this.#unfolded.add(key);
    this.draw();
  }

  async #cancelBatch({ batch }) {
    const answer = await attempt(() => api(`/api/v2/batches/${encodeURIComponent(batch)}/cancel`, { method: "POST" }));
    if (answer) toast(answer.message);
  }

  #select(id, isSelected) {
    if (isSelected) this.#selected.add(id);
    else this.#selected.delete(id);
    this.#drawSelection();
  }

  #selectAll(isSelected) {
    this.#selected = new Set(isSelected ? this.#shown.map((task) => task.task_id) : []);
    this.#rows.each((row, item) => {
      if (item.task) row.parts.box.checked = this.#selected.has(item.key);
    });
    this.#drawSelection();
  }

  #drawSelection() {
    const tasks = [...this.#selected].map((id) => this.#task(id));
    const { selection, all } = this.#parts;
    all.checked = tasks.length > 0 && tasks.length >= this.#shown.length;
    all.indeterminate = tasks.length > 0 && !all.checked;
    const actions = tasks.length ? actionsFor(tasks) : [];
    const says = JSON.stringify([tasks.length, actions.map((action) => [action.id, action.count])]);
    if (selection.dataset.says === says) return;
    selection.dataset.says = says;
    selection.hidden = !tasks.length;
    const run = (id) => actionsFor([...this.#selected].map((each) => this.#task(each))).find((action) => action.id === id)?.run();
    fill(selection, h("span", { class: "strong number" }, t("selected", { count: number(tasks.length) })),
      actions.map((action) => h("button", { type: "button", class: action.isDangerous ? "danger" : "", title: action.hint, onclick: () => run(action.id) },
        action.count < tasks.length ? `${action.label} (${action.count})` : action.label)),
      h("button", { type: "button", class: "plain", onclick: () => this.#selectAll(false) }, t("clear_selection")));
  }

  #drawEmpty(count, found) {
    const { empty } = this.#parts;
    empty.hidden = found > 0;
    if (found) return;
    if (count) fill(empty, h("p", {}, t("nothing_found")), h("div", {}, h("button", { type: "button", onclick: () => this.#filters.clear() }, t("clear_filters"))));
    else fill(empty, h("p", {}, t("no_tasks")), h("div", {}, h("a", { class: "button primary", href: "#/new/training" }, t("first_training"))));
  }

  #drawOlder() {
    const button = h("button", { type: "button", onclick: () => attempt(() => this.#readOlder()) }, t("older"));
    fill(this.#parts.older, this.#cursor ? button : this.#hasOlderPage && h("p", { class: "quiet small" }, t("no_older")));
  }

  async #readOlder() {
    const page = await api("/api/v2/tasks", { query: { limit: OLDER_AT_ONCE, cursor: this.#cursor }, signal: this.#signal });
    const found = [...page.training_tasks, ...page.inference_tasks, ...page.preprocessing_tasks];
    for (const task of found) this.#older.set(task.task_id, task);
    this.#cursor = page.next_cursor;
    this.#hasOlderPage = true;
    this.#drawOlder();
    await this.draw();
  }
}

/** The row of a batch; no task has such an id. */
function batchKey(batch) {
  return `batch ${batch}`;
}

function deviceNames() {
  return (state.resources?.devices ?? []).map((device) => device.device);
}

function isSame(old, wanted) {
  if (wanted.tasks) return old.isOpen === wanted.isOpen && old.tasks.length === wanted.tasks.length && old.tasks.every((task, index) => task === wanted.tasks[index]);
  return old.task === wanted.task && old.isMember === wanted.isMember;
}
