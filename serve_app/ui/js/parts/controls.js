/** One labelled control for one field of the contract: what is entered, whether it may be, and what is wrong with it. */
import { fill, h, setText } from "../dom.js";
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { boundsText, readText } from "./checks.js";
import { fieldHint, fieldLabel } from "./field_words.js";
import { pathExtras } from "./path_picker.js";

const t = translator(words);
const LONG_TEXTS = new Set(["description"]);
let count = 0;

/**
 * Make the control of a field.
 * @param {Object} context of the form: `kind`, `extras`, `values`, `onChange`
 * @param {string} prefix of the names of fields in an object, such as "recipe."
 * @returns {{element: HTMLElement, read: () => {value?: any, faults?: Array}, showFaults: (faults: Map) => HTMLElement|null, set: (value: any) => void}}
 */
export function makeControl(context, field, prefix) {
  if (field.kind === "object") return objectControl(context, field, prefix);
  if (field.kind === "list" && field.item.kind === "choice") return manyControl(context, field, prefix);
  if (field.kind === "pair") return pairControl(context, field, prefix);
  if (field.kind === "switch") return switchControl(context, field, prefix);
  return plainControl(context, field, prefix);
}

/** What every control has around it: label, hint, fault. */
function frame(context, field, prefix) {
  count += 1;
  const path = prefix + field.name;
  const id = `field-${count}`;
  const fault = h("p", { class: "fault", id: `${id}-fault`, hidden: true });
  const hintText = [fieldHint(context.kind, path), boundsText(field), fallbackText(field)].filter(Boolean).join(t("sentence_gap"));
  const hint = hintText ? h("p", { class: "hint", id: `${id}-hint` }, hintText) : null;
  const label = [fieldLabel(context.kind, path), field.isRequired ? h("span", { class: "needed" }, ` ${t("needed")}`) : null];
  const describedBy = [hint?.id, fault.id].filter(Boolean).join(" ");
  const show = (text, element) => {
    setText(fault, text ?? "");
    fault.hidden = !text;
    if (text) element.setAttribute("aria-invalid", "true");
    else element.removeAttribute("aria-invalid");
  };
  const take = (faults, element) => {
    const text = faults.get(path);
    faults.delete(path);
    show(text, element);
    return text ? element : null;
  };
  return { id, path, fault, hint, label, describedBy, show, take };
}

function fallbackText(field) {
  const { fallback, kind } = field;
  if (field.isRequired || fallback === null || fallback === undefined || fallback === "" || ["switch", "choice", "object", "list"].includes(kind) || field.name === "device") return "";
  return t("by_default", { value: Array.isArray(fallback) ? fallback.join(", ") : typeof fallback === "number" ? number(fallback, 8) : fallback });
}

function isSame(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The value as a request needs it: what the service takes anyway is left out. */
function needed(field, value) {
  return !field.isRequired && isSame(value, field.fallback) ? undefined : value;
}

function asText(field, value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.length ? value.join(field.item?.kind === "number" ? ", " : "\n") : t("none_word");
  return String(value);
}

/** Text, number, path, choice: one element with a text. */
function plainControl(context, field, prefix) {
  const parts = frame(context, field, prefix);
  const { input, extra } = inputFor(context, field, parts);
  const start = prefix ? context.values[prefix.slice(0, -1)]?.[field.name] : context.values[field.name];
  let isTouched = false;
  const write = (value) => {
    const text = asText(field, value);
    if (input.tagName === "SELECT" && text && ![...input.options].some((option) => option.value === text)) input.append(h("option", { value: text }, text));
    input.value = text;
  };
  write(start !== undefined ? start : field.kind === "choice" || field.name === "device" ? field.fallback : undefined);
  const read = () => {
    const text = input.value;
    if (field.kind === "list" && field.item.kind === "number" && isNone(text)) return { value: [] };
    if (field.kind === "choice") return { value: needed(field, fromChoice(field, text)), faults: field.isRequired && !text ? [{ path: parts.path, text: t("is_missing") }] : [] };
    const { value, fault } = readText(field, text);
    return { value: value === undefined ? undefined : needed(field, value), faults: fault ? [{ path: parts.path, text: fault }] : [] };
  };
  const changed = () => {
    isTouched = true;
    if (input.hasAttribute("aria-invalid")) parts.show(read().faults[0]?.text, input);
    context.onChange();
  };
  const left = () => {
    if (input.value.trim()) parts.show(read().faults?.[0]?.text, input);
  };
  input.addEventListener("input", changed);
  input.addEventListener("change", left);
  const element = h("div", { class: isWide(field) ? "field wide" : "field", dataset: { field: parts.path } },
    h("label", { for: parts.id }, parts.label), extra ? extra.wrap(input) : input, parts.hint, extra?.below ?? null, parts.fault);
  return {
    element,
    read,
    isTouched: () => isTouched,
    showFaults: (faults) => parts.take(faults, input),
    set: (value) => {
      write(value);
      parts.show("", input);
      extra?.look?.(input.value);
      context.onChange();
    },
  };
}

function isNone(text) {
  return ["none", "无", t("none_word")].includes(text.trim().toLowerCase());
}

function isWide(field) {
  return /_paths?$/.test(field.name) || LONG_TEXTS.has(field.name) || field.name === "snr_db" && field.kind === "list";
}

function inputFor(context, field, parts) {
  const common = { id: parts.id, name: parts.path, "aria-describedby": parts.describedBy, "aria-required": field.isRequired ? "true" : null };
  if (field.name === "device" && context.extras.devices) return { input: h("select", common, deviceOptions(context.extras.devices)) };
  if (field.kind === "choice") return { input: h("select", common, choiceOptions(context, field, parts)) };
  if (/_paths?$/.test(field.name)) return pathInput(context, field, parts, common);
  if (LONG_TEXTS.has(field.name)) return { input: h("textarea", { ...common, rows: 2, maxlength: field.longest }) };
  if (field.name === "model" && context.extras.models) return modelInput(context, common);
  const placeholder = field.fallback === null || field.fallback === undefined ? null : asText(field, field.fallback) || null;
  return { input: h("input", { ...common, type: "text", inputmode: field.kind === "number" ? (field.isWhole ? "numeric" : "decimal") : null, autocomplete: "off", spellcheck: "false", placeholder }) };
}

function deviceOptions(devices) {
  const named = devices.map((device) => h("option", { value: device.device }, `${device.device} (${device.name})`));
  return [h("option", { value: "cuda" }, t("device_cuda")), h("option", { value: "cpu" }, t("device_cpu")), named];
}

function choiceOptions(context, field, parts) {
  const empty = field.isRequired || field.fallback === null || field.fallback === undefined;
  const say = (choice) => {
    if (field.labels) return field.labels[choice];
    const key = `${parts.path}=${choice}`;
    return key in words.en ? t(key) : typeof choice === "boolean" ? t(choice ? "yes" : "no") : String(choice);
  };
  const first = empty ? h("option", { value: "" }, field.isRequired ? t("choose") : t("as_it_comes")) : null;
  return [first, field.choices.map((choice) => h("option", { value: String(choice) }, say(choice)))];
}

function fromChoice(field, text) {
  if (!text) return undefined;
  return field.choices.find((choice) => String(choice) === text) ?? text;
}

function modelInput(context, common) {
  const list = h("datalist", { id: `${common.id}-list` }, context.extras.models.map((name) => h("option", { value: name })));
  const input = h("input", { ...common, type: "text", autocomplete: "off", spellcheck: "false", list: list.id, placeholder: "drones@production" });
  return { input, extra: { wrap: (element) => [element, list] } };
}

function pathInput(context, field, parts, common) {
  const isMany = field.kind === "list";
  const input = isMany ? h("textarea", { ...common, rows: 4, spellcheck: "false" }) : h("input", { ...common, type: "text", autocomplete: "off", spellcheck: "false" });
  return { input, extra: pathExtras({ context, field, input, isMany, label: parts.label[0] }) };
}

function switchControl(context, field, prefix) {
  const parts = frame(context, field, prefix);
  const given = prefix ? context.values[prefix.slice(0, -1)]?.[field.name] : context.values[field.name];
  const input = h("input", { id: parts.id, name: parts.path, type: "checkbox", "aria-describedby": parts.describedBy, checked: given ?? field.fallback ?? false });
  let isTouched = given !== undefined;
  input.addEventListener("change", () => {
    isTouched = true;
    context.onChange();
  });
  return {
    element: h("div", { class: "field switch", dataset: { field: parts.path } }, h("label", { class: "check" }, input, h("span", {}, parts.label)), parts.hint, parts.fault),
    // A switch that may also be left open stays open until somebody touches it.
    read: () => ({ value: field.isNullable && !isTouched ? undefined : needed(field, input.checked) }),
    isTouched: () => isTouched,
    showFaults: (faults) => parts.take(faults, input),
    set: (value) => {
      input.checked = Boolean(value);
      isTouched = true;
      context.onChange();
    },
  };
}

/** Several of some words, each with a box. */
function manyControl(context, field, prefix) {
  const parts = frame(context, field, prefix);
  const chosen = new Set(context.values[field.name] ?? field.fallback ?? []);
  const boxes = field.item.choices.map((choice) => h("input", { type: "checkbox", value: choice, name: parts.path, checked: chosen.has(choice), onchange: context.onChange }));
  const label = (box) => {
    const key = `${parts.path}=${box.value}`;
    return h("label", { class: "check" }, box, h("span", {}, box.value, key in words.en ? h("span", { class: "hint" }, ` ${t(key)}`) : null));
  };
  const group = h("fieldset", { class: "many", "aria-describedby": parts.describedBy }, h("legend", { class: "label" }, parts.label), boxes.map(label));
  const read = () => {
    const value = boxes.filter((box) => box.checked).map((box) => box.value);
    if (value.length < (field.fewest ?? 0)) return { value, faults: [{ path: parts.path, text: t("choose_one") }] };
    return { value: needed(field, value) };
  };
  return {
    element: h("div", { class: "field wide", dataset: { field: parts.path } }, group, parts.hint, parts.fault),
    read,
    isTouched: () => false,
    showFaults: (faults) => parts.take(faults, group) && boxes[0],
    set: (value) => {
      for (const box of boxes) box.checked = value.includes(box.value);
      context.onChange();
    },
  };
}

/** Two numbers, of which both or none are given. */
function pairControl(context, field, prefix) {
  const parts = frame(context, field, prefix);
  const given = context.values[prefix.slice(0, -1)]?.[field.name] ?? [];
  const names = field.name === "picture_size" ? ["pair_width", "pair_height"] : ["pair_least", "pair_most"];
  const inputs = names.map((name, index) => h("input", {
    type: "text", inputmode: "decimal", name: `${parts.path}.${index}`, "aria-label": t(name), placeholder: t(name), "aria-describedby": parts.describedBy,
    value: asText(field, given[index]), oninput: context.onChange, autocomplete: "off",
  }));
  const group = h("fieldset", { class: "pair" }, h("legend", { class: "label" }, parts.label), h("div", { class: "row" }, inputs));
  const read = () => {
    const texts = inputs.map((input) => input.value);
    if (!texts.some((text) => text.trim())) return {};
    const both = texts.map((text) => readText({ ...field.item, isRequired: true }, text));
    const fault = both.find((each) => each.fault)?.fault;
    return fault ? { faults: [{ path: parts.path, text: fault }] } : { value: needed(field, both.map((each) => each.value)) };
  };
  return {
    element: h("div", { class: "field", dataset: { field: parts.path } }, group, parts.hint, parts.fault),
    read,
    isTouched: () => inputs.some((input) => input.value),
    showFaults: (faults) => {
      faults.forEach((text, path) => path.startsWith(`${parts.path}.`) && faults.delete(path) && faults.set(parts.path, text));
      return parts.take(faults, inputs[0]);
    },
    set: (value) => inputs.forEach((input, index) => { input.value = asText(field, value?.[index]); }),
  };
}

/** An object in the request: off until somebody wants it, unless the request needs it. */
function objectControl(context, field, prefix) {
  const parts = frame(context, field, prefix);
  const inner = `${parts.path}.`;
  const controls = field.fields.filter((each) => each.kind !== "fixed").map((each) => [each, makeControl(context, each, inner)]);
  const isOn = field.isRequired || Boolean(context.values[field.name]);
  const first = controls.filter(([each]) => each.isRequired).map(([, control]) => control.element);
  const rest = controls.filter(([each]) => !each.isRequired).map(([, control]) => control.element);
  const folded = first.length ? h("details", { class: "more" }, h("summary", {}, t("more_of", { what: parts.label[0] })), h("div", { class: "form-grid" }, rest)) : rest;
  const body = h("div", { class: first.length ? "stack" : "form-grid", hidden: !isOn }, first.length ? h("div", { class: "form-grid" }, first) : null, folded);
  const box = h("input", { type: "checkbox", id: parts.id, name: parts.path, checked: isOn, "aria-describedby": parts.describedBy, onchange: () => {
    body.hidden = !box.checked;
    context.onChange();
  } });
  const head = field.isRequired ? h("p", { class: "label" }, parts.label) : h("label", { class: "check" }, box, h("span", {}, parts.label));
  const element = h("div", { class: "field wide object", role: "group", "aria-label": parts.label[0], dataset: { field: parts.path } }, head, parts.hint, body, parts.fault);
  return {
    element,
    read: () => (field.isRequired || box.checked ? readObject(controls) : {}),
    isTouched: () => box.checked,
    showFaults: (faults) => {
      const found = controls.map(([, control]) => control.showFaults(faults)).find(Boolean) ?? null;
      return found ?? parts.take(faults, box);
    },
    set: () => fill(parts.fault),
  };
}

function readObject(controls) {
  const value = {};
  const faults = [];
  for (const [each, control] of controls) {
    const read = control.read();
    if (read.value !== undefined) value[each.name] = read.value;
    faults.push(...(read.faults ?? []));
  }
  return { value, faults };
}
