/** The dialog that registers a version: of a finished training, or of a weights file with its configuration. */
import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { newestFirst } from "../state.js";
import { words } from "../words/models.js";
import { fieldsOf } from "./contract.js";
import { openDialog } from "./dialog.js";
import { makeForm } from "./form.js";
import { explain, notice, toast } from "./notices.js";
import { faultsOf } from "./outlook.js";

const t = translator(words);
const GROUPS = [
  { title: "group_model", either: [{ key: "way_task", fields: ["task_id"] }, { key: "way_files", fields: ["weight_path", "cfg_path"] }] },
  { title: "group_named", fields: ["name", "alias", "description"] },
  { title: "group_more", isFolded: true, fields: ["*"] },
];

/** Ask what to register and register it; gives whether it was. */
export async function registerVersion({ values, signal }) {
  const fields = await fieldsOf("RegisterRequest").catch((error) => toast(explain(error), "bad"));
  if (!fields) return false;
  const form = makeForm({ kind: "register", fields: withTrainings(fields), groups: GROUPS, values: { alias: "production", ...values }, signal });
  const said = h("div", { class: "stack" });
  const answer = await openDialog({
    title: t("register_title"),
    content: [h("div", { class: "register stack" }, form.element, said)],
    buttons: (close) => {
      const button = h("button", { type: "submit", class: "primary", onclick: (event) => {
        event.preventDefault();
        send({ form, said, button, close });
      } }, t("register_go"));
      return [button, h("button", { type: "button", onclick: () => close(null) }, t("cancel"))];
    },
  });
  return answer === true;
}

/** Finished trainings to choose from, instead of an id to type. */
function withTrainings(fields) {
  const finished = newestFirst().filter((task) => task.task_type === "training" && task.status === "completed");
  if (!finished.length) return fields;
  const labels = Object.fromEntries(finished.map((task) => [task.task_id, `${task.name || task.output_path} · ${task.model} · ${task.task_id.slice(0, 8)}`]));
  return fields.map((field) => (field.name === "task_id" ? { ...field, kind: "choice", choices: finished.map((task) => task.task_id), labels, isRequired: true } : field));
}

async function send({ form, said, button, close }) {
  const { request, faults } = form.read();
  if (faults.length) return form.showFaults(faults).first?.focus();
  button.disabled = true;
  fill(said, h("p", { role: "status" }, t("registering")), h("progress", { "aria-label": t("registering") }));
  try {
    const version = await api("/api/v2/models", { method: "POST", body: request });
    toast(t("registered", { name: version.name, version: version.version }), "good");
    return close(true);
  } catch (error) {
    button.disabled = false;
    const { rest, first } = form.showFaults(faultsOf(error));
    first?.focus();
    return fill(said, first && !rest.length ? null : notice(rest[0]?.text ?? explain(error), "bad"));
  }
}
