/** What can be done to tasks, one or several at once: which wishes make sense for a state, what must be asked before, what became of them. */
import { api } from "../api.js";
import { h } from "../dom.js";
import { translator } from "../i18n.js";
import * as state from "../state.js";
import { words } from "../words/task_parts.js";
import { confirmWith, openDialog } from "./dialog.js";
import { explain, toast } from "./notices.js";
import { hasEnded, isWaiting, taskName } from "./task_words.js";
import { showWhy } from "./why.js";

const t = translator(words);
/** So many requests at once; the browser would keep more waiting anyway. */
const AT_ONCE = 6;

/** Every wish: for which tasks it makes sense, what is asked first, and the request. */
const ACTIONS = [
  { id: "why_waits", isFor: isWaiting, isForOne: true, run: ([task]) => showWhy(task) },
  { id: "set_priority", isFor: isWaiting, run: askPriority },
  {
    id: "stop_task", hint: "stop_hint", isFor: (task) => task.task_type === "training" && task.status === "running",
    run: (tasks) => wishAll(tasks, (task) => post(`/api/v2/training/${idOf(task)}/stop`)),
  },
  { id: "cancel_task", hint: "cancel_hint", isFor: (task) => !hasEnded(task), run: (tasks) => wishAll(tasks, (task) => post(`/api/v2/tasks/${idOf(task)}/cancel`)) },
  { id: "kill_task", hint: "kill_hint", isDangerous: true, isFor: (task) => task.status === "running", run: askKill },
  { id: "delete_task", hint: "delete_hint", isDangerous: true, isFor: hasEnded, run: askDelete },
];

/**
 * The wishes that make sense for at least one of these tasks.
 * @returns {Array<{id: string, label: string, hint: string, isDangerous: boolean, run: () => Promise<void>}>} `run` reaches only the tasks it makes sense for
 */
export function actionsFor(tasks) {
  const found = [];
  for (const action of ACTIONS) {
    const reached = tasks.filter(action.isFor);
    if (!reached.length || (action.isForOne && tasks.length > 1)) continue;
    found.push({
      id: action.id, label: t(action.id), hint: action.hint ? t(action.hint) : "", isDangerous: Boolean(action.isDangerous), count: reached.length,
      run: () => action.run(reached),
    });
  }
  return found;
}

async function askPriority(tasks) {
  const input = h("input", { id: "priority-value", type: "number", min: 1, max: 10, step: 1, required: true, value: tasks[0].priority });
  const apply = (close) => (event) => {
    event.preventDefault();
    if (input.reportValidity()) close(Number(input.value));
  };
  const priority = await openDialog({
    title: t("priority_title"),
    content: [h("p", {}, t("priority_text")), h("div", { class: "field" }, h("label", { for: "priority-value" }, t("priority_value")), input)],
    buttons: (close) => [
      h("button", { type: "submit", class: "primary", onclick: apply(close) }, t("apply")),
      h("button", { type: "button", onclick: () => close(null) }, t("cancel")),
    ],
  });
  if (priority !== null) await wishAll(tasks, (task) => api(`/api/v2/tasks/${idOf(task)}/priority`, { method: "POST", body: { priority } }));
}

async function askKill(tasks) {
  const isMeant = await confirmWith(question("kill_question", tasks), t("kill_text"), t("kill_task"), { isDangerous: true });
  if (isMeant) await wishAll(tasks, (task) => post(`/api/v2/tasks/${idOf(task)}/kill`));
}

async function askDelete(tasks) {
  const isMeant = await confirmWith(question("delete_question", tasks), t("delete_text"), t("delete_task"), { isDangerous: true });
  if (!isMeant) return;
  await wishAll(tasks, async (task) => {
    const answer = await api(`/api/v2/tasks/${idOf(task)}`, { method: "DELETE" });
    state.dropTask(task.task_id);
    return answer;
  });
}

function question(word, tasks) {
  return tasks.length === 1 ? t(`${word}_one`, { name: taskName(tasks[0]) }) : t(word, { count: tasks.length });
}

/** Do one thing for all tasks, a few at once, and say how it went. */
async function wishAll(tasks, wish) {
  const waiting = [...tasks];
  const faults = [];
  let last = null;
  const work = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) {
      try {
        last = await wish(task);
      } catch (error) {
        faults.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (faults.length) toast(tasks.length === 1 ? explain(faults[0]) : t("failed_many", { failed: faults.length, count: tasks.length, reason: explain(faults[0]) }), "bad");
  else if (tasks.length === 1) toast(t("done_one", { name: taskName(tasks[0]), message: last.message }));
  else toast(t("done_many", { count: tasks.length }));
}

function post(path) {
  return api(path, { method: "POST" });
}

function idOf(task) {
  return encodeURIComponent(task.task_id);
}
