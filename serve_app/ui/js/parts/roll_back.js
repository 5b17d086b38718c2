/** Rolling production back: which version it would become, asked of the visitor, never guessed alone. */
import { h, setText } from "../dom.js";
import { instant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/models.js";
import { openDialog } from "./dialog.js";
import { PRODUCTION, letMean } from "./version_actions.js";

const t = translator(words);

/** The next lower version than the one that is production, as `rfuav models rollback` takes it; null where there is none. */
export function previousOf(model) {
  const current = model.aliases[PRODUCTION];
  const lower = model.versions.map((each) => each.version).filter((each) => each < current);
  return lower.length ? Math.max(...lower) : null;
}

/** Ask which version production is to become, the next lower one preselected, and let it be that. */
export async function rollBack(model) {
  const version = await chooseVersion(model);
  if (version !== null) await letMean(model, version, "rolled_back");
}

function chooseVersion(model) {
  const others = model.versions.filter((each) => each.version !== model.aliases[PRODUCTION]).reverse();
  const say = (each) => t("roll_back_choice", { version: each.version, time: instant(each.created_at), aliases: each.aliases.length ? ` (${each.aliases.join(", ")})` : "" });
  const select = h("select", { id: "roll-back-to", onchange: () => name() }, others.map((each) => h("option", { value: String(each.version) }, say(each))));
  select.value = String(previousOf(model));
  const go = h("button", { type: "button", class: "primary" });
  const name = () => setText(go, t("roll_back_go", { version: select.value }));
  name();
  return openDialog({
    title: t("roll_back_title", { name: model.name }),
    content: [h("p", {}, t("roll_back_text", { version: model.aliases[PRODUCTION] })), h("div", { class: "field" }, h("label", { for: select.id }, t("roll_back_field")), select)],
    buttons: (close) => {
      go.addEventListener("click", () => close(Number(select.value)));
      return [go, h("button", { type: "button", onclick: () => close(null) }, t("cancel"))];
    },
  });
}
