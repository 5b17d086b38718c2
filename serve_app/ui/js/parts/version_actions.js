/** What can be done with a version: promote, alias, delete, look at its card. Each asks first and says what came of it. */
import { ApiError, api } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, gigabytes, number } from "../format.js";
import { translator } from "../i18n.js";
import { go } from "../router.js";
import { words } from "../words/models.js";
import { confirmWith, openDialog } from "./dialog.js";
import { openMenu } from "./menu.js";
import { explain, notice, toast } from "./notices.js";
import { facts } from "./small.js";

const t = translator(words);
/** What the bare name of a model means. */
export const PRODUCTION = "production";

/** The buttons of a version's row. */
export function versionMenu(model, version, onChange) {
  const id = `${model.name}@${version.version}`;
  const isProduction = model.aliases[PRODUCTION] === version.version;
  const entries = [
    { label: t("evaluate_this"), run: () => go(`/new/inference?kind=evaluate&model=${encodeURIComponent(id)}`) },
    { label: t("details"), run: () => showDetails(model, version) },
    { label: t("set_alias"), run: () => setAlias(model, version).then(onChange) },
    { label: t("delete_version"), isDangerous: true, hint: version.aliases.length ? t("delete_aliased") : undefined, run: () => deleteVersion(model, version).then(onChange) },
  ];
  const more = h("button", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": t("version_actions", { name: id }), onclick: () => openMenu(more, t("version_actions", { name: id }), entries) }, "⋯");
  return h("div", { class: "row nowrap" }, isProduction ? null : h("button", { type: "button", onclick: () => promote(model, version.version).then(onChange) }, t("promote")),
    h("a", { class: "button", href: `#/try?model=${encodeURIComponent(id)}` }, t("try_this")), more);
}

/** Let production mean a version, after a yes. */
async function promote(model, version) {
  const isSure = await confirmWith(t("promote_title", { version }), t("promote_text", { name: model.name, version }), t("promote"));
  if (isSure) await letMean(model, version, "promoted");
}

/** Let production mean a version that the visitor has agreed to: wait until all replicas have it, tell each one's result; `doneKey` names the words for it. */
export async function letMean(model, version, doneKey) {
  const said = h("div", { class: "stack", role: "status" }, h("p", {}, t("promoting", { version })), h("progress", { "aria-label": t("promoting", { version }) }));
  let finish = () => {};
  const shown = openDialog({ title: `${model.name}@${version}`, content: [said], buttons: (close) => {
    finish = close;
    return [h("button", { type: "button", onclick: () => close(null) }, t("close"))];
  } });
  try {
    await api(`/api/v2/models/${encodeURIComponent(model.name)}/aliases/${PRODUCTION}`, { method: "PUT", body: { version } });
    const done = t(doneKey, { name: model.name, version });
    toast(done, "good");
    fill(said, notice(done, "good"), await replicaList(model.name, version));
  } catch (error) {
    fill(said, notice(refusal(error), "bad"));
  }
  await shown;
  finish(null);
}

/** What each replica says of a version. */
async function replicaList(name, version) {
  const { devices } = await api("/api/v2/resources").catch(() => ({ devices: [] }));
  const replicas = devices.flatMap((device) => device.serving.replicas);
  if (!replicas.length) return h("p", { class: "quiet" }, t("replica_none"));
  const has = (replica) => replica.models.find((each) => each.model === name && each.version === version);
  const text = (replica) => (has(replica) ? t("replica_has", { version, precision: has(replica).precision }) : t("replica_on_demand"));
  return h("ul", { class: "holders" }, replicas.map((replica) => h("li", {}, h("span", { class: "mono" }, replica.id), ` (${replica.device}, ${t(replica.ready ? "is_ready" : "is_beginning")}): `,
    text(replica), has(replica) ? ` · ${gigabytes(has(replica).memory_gb)}` : "")));
}

export async function removeAlias(model, alias) {
  await say(t("alias_removed", { alias }), () => api(`/api/v2/models/${encodeURIComponent(model.name)}/aliases/${encodeURIComponent(alias)}`, { method: "DELETE" }));
}

async function setAlias(model, version) {
  const input = h("input", { id: "alias-name", required: true, pattern: "[A-Za-z0-9_\\-][A-Za-z0-9._\\-]{0,63}", list: "alias-known", autocomplete: "off", "aria-describedby": "alias-hint" });
  const known = h("datalist", { id: "alias-known" }, [...new Set([PRODUCTION, "staging", ...Object.keys(model.aliases)])].map((name) => h("option", { value: name })));
  const alias = await openDialog({
    title: t("alias_title", { version: version.version }),
    content: [h("div", { class: "field" }, h("label", { for: "alias-name" }, t("alias_field")), input, known, h("p", { class: "hint", id: "alias-hint" }, t("alias_hint")))],
    buttons: (close) => [h("button", { type: "submit", class: "primary", onclick: (event) => {
      event.preventDefault();
      if (input.reportValidity()) close(input.value.trim());
    } }, t("alias_set")), h("button", { type: "button", onclick: () => close(null) }, t("cancel"))],
  });
  if (!alias) return;
  if (alias === PRODUCTION) return void (await promote(model, version.version));
  await say(`${model.name}@${alias} = ${version.version}`, () => api(`/api/v2/models/${encodeURIComponent(model.name)}/aliases/${encodeURIComponent(alias)}`, { method: "PUT", body: { version: version.version } }));
}

async function deleteVersion(model, version) {
  const values = { name: model.name, version: version.version };
  if (!(await confirmWith(t("delete_title", values), t("delete_text"), t("delete_version"), { isDangerous: true }))) return;
  await say(t("deleted", values), () => api(`/api/v2/models/${encodeURIComponent(model.name)}/${version.version}`, { method: "DELETE" }));
}

async function say(done, action) {
  try {
    await action();
    toast(done, "good");
  } catch (error) {
    toast(refusal(error), "bad");
  }
}

/** Why something was not done; a right that the key lacks is said as such. */
function refusal(error) {
  const isRight = error instanceof ApiError && error.status === 403;
  return isRight ? t("need_right", { reason: error.message }) : t("promotion_failed", { reason: explain(error) });
}

function showDetails(model, version) {
  const card = version.model_card;
  const { lineage } = version;
  const loads = Object.entries(card.serving.chosen).map(([kind, load]) => h("span", { class: "block" }, t("chosen_for", { kind, precision: load.precision, optimised: t(load.optimised ? "is_optimised" : "is_plain") }), h("span", { class: "quiet small" }, ` ${load.reason}`)));
  const pairs = [
    [t("network"), card.architecture], [t("classes"), card.classes.join(", ")], [t("image_size"), String(card.image_size)],
    [t("recipe"), card.recipe ? h("code", { class: "small" }, JSON.stringify(card.recipe)) : t("no_recipe")],
    [t("computes_in"), loads.length ? loads : t("not_loaded")],
    [t("unknown_below"), card.unknown_below === null ? t("never") : number(card.unknown_below)],
    [t("trained_by"), lineage.task_id ? h("a", { href: `#/tasks/${encodeURIComponent(lineage.task_id)}`, class: "mono" }, lineage.task_id) : t("from_files")],
    [t("parent"), lineage.parent_weights || t("by_chance")],
    [t("data_hash"), Object.entries(lineage.dataset_hash).map(([part, hash]) => h("span", { class: "block mono small" }, `${part} ${hash.slice(0, 16)}…`))],
    [t("sha"), h("span", { class: "mono small" }, version.sha256)], [t("size"), bytes(version.size_bytes)],
  ];
  if (version.description) pairs.unshift([t("description"), version.description]);
  const warnings = version.warnings.length ? notice(t("warnings"), "warn", h("ul", { class: "holders" }, version.warnings.map((text) => h("li", {}, text)))) : null;
  return openDialog({
    title: t("details_of", { name: model.name, version: version.version }),
    content: [warnings, facts(pairs)].filter(Boolean),
    buttons: (close) => [h("button", { type: "button", class: "primary", onclick: () => close(null) }, t("close"))],
  });
}
