/**
 * A form made of the contract: labelled fields in groups, checked by the contract's own bounds.
 *
 * It owns which fields there are and what was entered. What a request is for, and where it is sent, is its view's.
 */
import { h, onceAFrame } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { makeControl } from "./controls.js";

const t = translator(words);

/**
 * @typedef {Object} Group a part of the form
 * @property {string} [title] a key of the words
 * @property {boolean} [isFolded] shown when it is asked for
 * @property {Array<string>} [fields] names, in order; "*" stands for all that no group names
 * @property {Array<{key: string, fields: Array<string>}>} [either] one of several ways to say the same; only the chosen one's fields count
 */

/**
 * Make a form.
 * @param {{kind: string, fields: Array<Object>, groups: Array<Group>, hidden?: Array<string>, values?: Object, extras?: Object, onChange?: () => void}} parts
 *   `kind` finds the words of fields that mean something else elsewhere; `extras` are what controls need: `devices`, `models`, `paths`
 * @returns {{element: HTMLElement, read: Function, showFaults: Function, set: Function, value: Function}}
 */
export function makeForm({ kind, fields, groups, hidden = [], values = {}, extras = {}, onChange = () => {}, signal }) {
  const context = { kind, extras, values, onChange: onceAFrame(onChange, signal), controls: new Map(), choices: [] };
  const byName = new Map(fields.filter((field) => field.kind !== "fixed" && !hidden.includes(field.name)).map((field) => [field.name, field]));
  const named = new Set(groups.flatMap((group) => [...(group.fields ?? []), ...(group.either ?? []).flatMap((each) => each.fields)]));
  const rest = [...byName.keys()].filter((name) => !named.has(name));
  const element = h("div", { class: "form-groups" }, groups.map((group) => makeGroup(context, byName, group, rest)));
  return {
    element,
    read: () => readAll(context),
    showFaults: (faults) => showFaults(context, element, faults),
    set: (name, value) => context.controls.get(name)?.set(value),
    value: (name) => context.controls.get(name)?.read().value,
    /** Whether somebody chose the value: by typing, or by what the form was opened with. */
    isTouched: (name) => name in values || Boolean(context.controls.get(name)?.isTouched()),
  };
}

function makeGroup(context, byName, group, rest) {
  const inside = group.either ? makeEither(context, byName, group) : gridOf(context, byName, group.fields.flatMap((name) => (name === "*" ? rest : [name])));
  if (!inside.childElementCount) return null;
  if (!group.isFolded) return h("fieldset", { class: "form-group" }, h("legend", {}, t(group.title)), inside);
  const isUsed = [...inside.querySelectorAll("[data-field]")].some((each) => each.dataset.field in context.values);
  return h("details", { class: "form-group card", open: isUsed }, h("summary", {}, t(group.title)), inside);
}

function gridOf(context, byName, names) {
  return h("div", { class: "form-grid" }, names.filter((name) => byName.has(name)).map((name) => {
    const control = makeControl(context, byName.get(name), "");
    context.controls.set(name, control);
    return control.element;
  }));
}

/** Radio buttons for the ways, and the fields of the chosen one. */
function makeEither(context, byName, group) {
  const parts = group.either.map((way) => ({ ...way, grid: gridOf(context, byName, way.fields) }));
  const isGiven = (way) => way.fields.some((name) => context.values[name]);
  const choice = { chosen: (parts.find(isGiven) ?? parts[0]).key, parts };
  context.choices.push(choice);
  const choose = (key) => {
    choice.chosen = key;
    for (const part of parts) part.grid.hidden = part.key !== key;
    context.onChange();
  };
  const radio = (part) => h("label", { class: "radio" }, h("input", {
    type: "radio", name: `way-${group.title}-${context.kind}`, checked: part.key === choice.chosen, value: part.key, onchange: () => choose(part.key),
  }), t(part.key));
  for (const part of parts) part.grid.hidden = part.key !== choice.chosen;
  return h("div", { class: "stack" }, h("div", { class: "row", role: "radiogroup", "aria-label": t(group.title) }, parts.map(radio)), parts.map((part) => part.grid));
}

/** What the form says: only what differs from what the service takes anyway, so that the request stays short to read. */
function readAll({ controls, choices }) {
  const leftOut = new Set(choices.flatMap((choice) => choice.parts.filter((part) => part.key !== choice.chosen).flatMap((part) => part.fields)));
  const request = {};
  const faults = [];
  for (const [name, control] of controls) {
    if (leftOut.has(name)) continue;
    const { value, faults: found = [] } = control.read();
    faults.push(...found);
    if (value !== undefined) request[name] = value;
  }
  return { request, faults };
}

/**
 * Show faults at their fields.
 * @param {Array<{path: string, text: string}>} faults `path` such as "recipe.nfft"
 * @returns {{rest: Array, first: HTMLElement|null}} those of no field here, and the first control with a fault
 */
function showFaults(context, element, faults) {
  const all = new Map(faults.map((fault) => [fault.path, fault.text]));
  let first = null;
  for (const control of context.controls.values()) {
    const found = control.showFaults(all);
    first ??= found;
  }
  for (let outer = first?.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
  return { rest: [...all].map(([path, text]) => ({ path, text })), first };
}
