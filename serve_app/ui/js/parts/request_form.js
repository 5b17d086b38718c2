/**
 * A form for one kind of task, with what would become of it and the same request as code beside it, and the button that submits it.
 *
 * It owns the way from entries to a submitted task. Which fields are shown where is its view's.
 */
import { ApiError, api } from "../api.js";
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { go } from "../router.js";
import { ready, resources, takeTask } from "../state.js";
import { codePanel } from "./as_code.js";
import { fieldsOf } from "./contract.js";
import { entriesOf, keepOverLanguages, putEntries } from "./drafts.js";
import { fieldLabel } from "./field_words.js";
import { makeForm } from "./form.js";
import { idKeeper } from "./ids.js";
import { explain, notice } from "./notices.js";
import { faultsOf, outlookPanel } from "./outlook.js";

const t = translator(words);
/** What the page fills in by itself, or sends elsewhere. */
const HIDDEN = ["task_id"];

/**
 * @typedef {Object} RequestKind
 * @property {string} kind of the words, such as "training"
 * @property {string} schema of the request, such as "TrainingRequest"
 * @property {string} path it is posted to
 * @property {string} taskType as explain takes it
 * @property {string} method of the Python client
 * @property {string} command of `rfuav`
 * @property {Array} groups of the form
 * @property {(request: Object) => Object} [explained] the request that explain is asked about, where it is another one
 * @property {(name: string, path: string, found: Object, form: Object) => void} [onPath] is told what a path holds
 */

/** Show the form of a kind of request in `place`, filled with `values`. */
export async function showRequestForm(place, wish, { values = {}, signal }) {
  fill(place, h("p", { class: "quiet" }, t("loading")));
  const [fields, models] = await Promise.all([fieldsOf(wish.schema), modelNames(wish), ready().catch(() => null)]);
  if (signal.aborted) return;
  const parts = { wish, signal, isSending: false, isChanged: false, hasTaskId: fields.some((field) => field.name === "task_id") };
  const before = keepOverLanguages(`form ${wish.kind}`, signal, () => ({ fields: entriesOf(parts.form.element), keepId: parts.keepId }));
  parts.keepId = before?.keepId ?? idKeeper();
  // What is wrong with the entries, and what came of sending them, stand apart: a later look at the entries must not wipe a refusal.
  parts.told = h("div", { class: "stack" });
  parts.said = h("div", { class: "stack" });
  parts.code = codePanel();
  parts.outlook = outlookPanel({ signal, onFaults: (faults) => showFaults(parts, faults) });
  const extras = { devices: resources?.devices ?? [], models, onPath: (name, path, found) => wish.onPath?.(name, path, found, parts.form) };
  parts.form = makeForm({ kind: wish.kind, fields, groups: wish.groups, hidden: HIDDEN, values, extras, signal, onChange: () => changed(parts) });
  draw(place, parts);
  if (before) putEntries(parts.form.element, before.fields);
  changed(parts);
}

function draw(place, parts) {
  parts.button = h("button", { type: "submit", class: "primary" }, t(`start_${parts.wish.kind}`));
  const submit = (event) => {
    event.preventDefault();
    send(parts);
  };
  const form = h("form", { class: "stack", novalidate: true, onsubmit: submit }, parts.form.element, parts.told, parts.said, h("div", { class: "row submit-row" }, parts.button));
  fill(place, h("div", { class: "form-and-side" }, form, h("div", { class: "form-side stack" }, parts.outlook.element, parts.code.element)));
}

/** Registered models, named as requests name them; none where the form has no use for them. */
async function modelNames(wish) {
  if (!wish.groups.some((group) => group.either?.some((way) => way.fields.includes("model")))) return null;
  const { models } = await api("/api/v2/models").catch(() => ({ models: [] }));
  return models.flatMap((model) => [...Object.keys(model.aliases).map((alias) => `${model.name}@${alias}`), ...model.versions.map((each) => `${model.name}@${each.version}`).reverse()]);
}

function changed(parts) {
  const { wish, form, outlook, code } = parts;
  const { request, faults } = form.read();
  code.show({ path: wish.path, method: wish.method, command: wish.command, request });
  parts.isChanged = parts.isSending;
  if (parts.isSending) return;
  if (faults.length) outlook.wait(t("outlook_waiting"));
  else outlook.ask(wish.taskType, wish.explained ? wish.explained(request) : request);
}

/** Tell faults at their fields; those that belong to none stand above the button. */
function showFaults(parts, faults) {
  const { rest, first } = parts.form.showFaults(faults);
  const list = rest.map((fault) => h("li", {}, fault.path ? `${fieldLabel(parts.wish.kind, fault.path)}: ${fault.text}` : fault.text));
  fill(parts.told, list.length ? notice(t("faults_title", { count: faults.length }), "bad", h("ul", {}, list)) : null);
  return first;
}

async function send(parts) {
  const { request, faults } = parts.form.read();
  if (faults.length) {
    showFaults(parts, faults)?.focus();
    return;
  }
  const body = parts.hasTaskId ? { ...request, task_id: parts.keepId(request) } : request;
  parts.outlook.stop();
  parts.isSending = true;
  parts.button.disabled = true;
  fill(parts.told);
  fill(parts.said, h("p", { class: "quiet", role: "status" }, t("sending")));
  try {
    arrive(await api(parts.wish.path, { method: "POST", body }));
  } catch (error) {
    parts.button.disabled = false;
    parts.isSending = false;
    refuse(parts, error);
    if (parts.isChanged) changed(parts);
  }
}

function arrive(answer) {
  if (answer.batch_id) return go(`/tasks?batch=${encodeURIComponent(answer.batch_id)}`);
  if ("priority" in answer) takeTask(answer);
  return go(`/tasks/${encodeURIComponent(answer.task_id)}`);
}

function refuse(parts, error) {
  const faults = faultsOf(error);
  fill(parts.said);
  if (faults.length) return showFaults(parts, faults)?.focus();
  const isLost = !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
  const remedy = isLost ? h("p", {}, t(parts.hasTaskId ? "lost" : "batch_lost")) : null;
  return fill(parts.said, notice(explain(error), "bad", remedy));
}
