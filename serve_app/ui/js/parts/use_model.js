/** What can be done with the model of a training that has ended: register it under a name, or predict files with it. */
import { api } from "../api.js";
import { h } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { openDialog } from "./dialog.js";
import { attempt, toast } from "./notices.js";

const t = translator(words);
const UNFIT = /[^A-Za-z0-9._-]+/g;

/** The section. */
export function useModel(task) {
  const query = new URLSearchParams({ cfg_path: `${task.output_path}/config.yaml`, weight_path: `${task.output_path}/best_model.pth` });
  return h("section", { class: "card stack", "aria-labelledby": "use" }, h("h2", { id: "use" }, t("use_model")), h("p", { class: "quiet" }, t("use_text")), h("div", { class: "row" },
    h("button", { type: "button", class: "primary", onclick: () => askAndRegister(task) }, t("register")),
    h("a", { class: "button", href: `#/new/inference?${query}` }, t("predict_with")), h("a", { class: "button", href: "#/models" }, t("to_models"))));
}

async function askAndRegister(task) {
  const name = field("register-name", { required: true, value: (task.name || task.model || "").replace(UNFIT, "-"), pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" }, t("register_name"), t("register_name_hint"));
  const alias = field("register-alias", { pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" }, t("register_alias"), t("register_alias_hint"));
  const take = (close) => (event) => {
    event.preventDefault();
    if (name.input.reportValidity() && alias.input.reportValidity()) close({ name: name.input.value, alias: alias.input.value });
  };
  const wish = await openDialog({
    title: t("register_title"),
    content: [name.element, alias.element],
    buttons: (close) => [h("button", { type: "submit", class: "primary", onclick: take(close) }, t("register_now")), h("button", { type: "button", onclick: () => close(null) }, t("cancel"))],
  });
  if (!wish) return;
  const version = await attempt(() => api("/api/v2/models", { method: "POST", body: { name: wish.name, task_id: task.task_id, alias: wish.alias || null } }));
  if (version) toast(t("registered", { name: version.name, version: version.version }));
}

function field(id, attributes, label, hint) {
  const input = h("input", { id, autocomplete: "off", "aria-describedby": `${id}-hint`, ...attributes });
  return { input, element: h("div", { class: "field" }, h("label", { for: id }, label), input, h("p", { class: "hint", id: `${id}-hint` }, hint)) };
}
