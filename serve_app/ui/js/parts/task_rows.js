/** The rows of the list of tasks: single tasks, and batches that unfold to theirs. */
import { h, setText } from "../dom.js";
import { NONE, duration, instant, shortInstant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/tasks.js";
import { updateBadge } from "./small.js";
import { isWaiting, partOfTask, secondsRun, stepText, taskKind, taskName, timeLeft } from "./task_words.js";

const t = translator(words);

/** A row for a task; `choices` are what the list does: `select(id, isSelected)`, `openActions(id, button)`, `openWhy(id)`, `isSelected(id)`. */
export function createTaskRow(item, choices) {
  const { task } = item;
  const id = task.task_id;
  const box = h("input", { type: "checkbox", onchange: () => choices.select(id, box.checked) });
  const parts = {
    box,
    name: h("a", { href: `#/tasks/${encodeURIComponent(id)}` }),
    about: h("span", { class: "quiet small break" }),
    kind: h("span", {}),
    badge: h("span", { class: "badge" }),
    place: h("span", { class: "small quiet" }),
    why: h("button", { type: "button", class: "plain small", onclick: () => choices.openWhy(id) }, t("why")),
    meter: progressMeter(),
    step: h("span", { class: "quiet small number" }),
    device: h("span", { class: "mono" }),
    priority: h("span", { class: "number" }),
    created: h("span", { class: "number small" }),
    menu: h("button", { type: "button", class: "plain menu-button", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => choices.openActions(id, parts.menu) }, "⋯"),
  };
  const row = h("div", { role: "row", class: "task-row", dataset: { part: partOfTask(task) } },
    cell("select", box), cell("task", parts.name, parts.about), cell("kind", parts.kind), cell("status", parts.badge, parts.place, parts.why),
    cell("progress", parts.meter, parts.step), cell("device", parts.device), cell("priority", parts.priority), cell("created", parts.created), cell("menu", parts.menu));
  row.parts = parts;
  return row;
}

/** Show a task as it is now. */
export function updateTaskRow(row, item, choices) {
  const { task } = item;
  const { parts } = row;
  const name = taskName(task);
  row.classList.toggle("member", item.isMember);
  parts.box.checked = choices.isSelected(task.task_id);
  parts.box.setAttribute("aria-label", t("select_one", { name }));
  setText(parts.name, name);
  setText(parts.about, [task.model ?? task.output_path, task.name ? task.task_id.slice(0, 8) : "", task.description].filter(Boolean).join(" · "));
  setText(parts.kind, taskKind(task));
  updateBadge(parts.badge, task.status);
  setText(parts.place, task.queue_position ? t("in_line", { position: task.queue_position }) : "");
  parts.why.hidden = !isWaiting(task);
  parts.why.setAttribute("aria-label", t("why_of", { name }));
  showProgress(parts.meter, task.progress, task.status, name);
  tickTaskRow(row, item);
  setText(parts.device, task.lease?.device ?? task.device ?? NONE);
  setText(parts.priority, task.priority);
  setText(parts.created, shortInstant(task.created_at));
  parts.created.title = instant(task.created_at);
  parts.menu.setAttribute("aria-label", t("actions_of", { name }));
}

/** Show what changes with the time alone. */
export function tickTaskRow(row, { task }) {
  const { text, title } = timeLeft(task);
  const ran = task.finished_at ? secondsRun(task) : null;
  const left = ran === null ? text : t("ran", { time: duration(ran) });
  setText(row.parts.step, [stepText(task), left].filter(Boolean).join(" · "));
  if (row.parts.step.title !== title) row.parts.step.title = title;
}

/** A row for a batch; `choices.toggleBatch(key)` unfolds it, `choices.cancelBatch(item)` ends it. */
export function createBatchRow(item, choices) {
  const parts = {
    toggle: h("button", { type: "button", class: "plain toggle", onclick: () => choices.toggleBatch(item.key) }),
    name: h("a", { class: "strong", href: `#/tasks?batch=${encodeURIComponent(item.batch)}` }), about: h("span", { class: "quiet small break" }),
    counts: h("span", { class: "row" }), meter: progressMeter(), step: h("span", { class: "quiet small number" }),
    device: h("span", { class: "mono" }), created: h("span", { class: "number small" }),
    cancel: h("button", { type: "button", class: "plain small", onclick: () => choices.cancelBatch(item.key) }, t("cancel_batch")),
  };
  const row = h("div", { role: "row", class: "task-row batch", dataset: { part: "inference" } },
    cell("select", parts.toggle), cell("task", parts.name, parts.about), cell("kind", t("inference")), cell("status", parts.counts), cell("progress", parts.meter, parts.step),
    cell("device", parts.device), cell("priority"), cell("created", parts.created), cell("menu wide", parts.cancel));
  row.parts = parts;
  return row;
}

export function updateBatchRow(row, item) {
  const { parts } = row;
  parts.toggle.setAttribute("aria-expanded", String(item.isOpen));
  parts.toggle.setAttribute("aria-label", t("show_members", { id: item.batch }));
  setText(parts.toggle, item.isOpen ? "▾" : "▸");
  setText(parts.name, t("batch", { count: item.tasks.length }));
  parts.name.title = t("batch_title");
  setText(parts.about, item.batch);
  const counts = Object.entries(Object.groupBy(item.tasks, (task) => task.status));
  parts.counts.replaceChildren(...counts.map(([status, tasks]) => {
    const badge = updateBadge(h("span", { class: "badge" }), status);
    badge.prepend(`${tasks.length} `);
    return badge;
  }));
  const progress = Math.floor(item.tasks.reduce((sum, task) => sum + (task.finished_at ? 100 : task.progress), 0) / item.tasks.length);
  showProgress(parts.meter, progress, item.tasks.every((task) => task.finished_at) ? "completed" : "running", parts.name.textContent);
  setText(parts.device, [...new Set(item.tasks.map((task) => task.device))].join(" "));
  setText(parts.created, shortInstant(item.tasks[0].created_at));
  parts.cancel.hidden = item.tasks.every((task) => task.finished_at);
}

function cell(name, ...content) {
  return h("div", { role: "cell", class: `c-${name}` }, content);
}

/** A bar and its figure. A span is drawn faster than a progress element, of which the list would hold a thousand. */
function progressMeter() {
  const fill = h("span", {});
  const track = h("span", { class: "track", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const text = h("span", { class: "number small" });
  const whole = h("span", { class: "progress" }, track, text);
  whole.parts = { fill, track, text };
  return whole;
}

function showProgress({ parts }, percent, status, name) {
  const width = `${percent}%`;
  if (parts.fill.style.width !== width) parts.fill.style.width = width;
  parts.track.dataset.status = status;
  parts.track.setAttribute("aria-valuenow", percent);
  parts.track.setAttribute("aria-label", `${t("progress")}: ${name}`);
  setText(parts.text, `${percent} %`);
}
