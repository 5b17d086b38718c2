/** Whether a value is one that the contract takes; the same bounds as the service has, told before anything is sent. */
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";

const t = translator(words);

/**
 * Read what was entered into a field of plain kind.
 * @returns {{value?: any, fault?: string}} no value where nothing was entered
 */
export function readText(field, text) {
  const entered = text.trim();
  if (!entered) return field.isRequired ? { fault: t("is_missing") } : {};
  if (field.kind === "list") return readList(field, entered);
  return readOne(field, entered);
}

/** The bounds of a field as words, or "". */
export function boundsText(field) {
  if (field.kind !== "number") return "";
  const { least, most, above } = field;
  const most_ = most !== undefined && most < 1e9 ? number(most, 6) : null;
  const least_ = least !== undefined && least > -1e9 ? number(least, 12) : null;
  if (least_ !== null && most_ !== null) return t("from_to", { least: least_, most: most_ });
  if (least_ !== null) return t("at_least", { least: least_ });
  if (above !== undefined) return most_ === null ? t("above", { above: number(above) }) : t("above_to", { above: number(above), most: most_ });
  return most_ === null ? "" : t("at_most", { most: most_ });
}

function readOne(field, text) {
  if (field.kind !== "number") return checkText(field, text);
  if (field.words?.includes(text)) return { value: text };
  // What is written in other ways than "12", "0.5" or "1e-4" means different things in different places.
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return { fault: t("no_number", { text }) };
  return checkNumber(field, Number(text));
}

function checkNumber(field, value) {
  if (field.isWhole && !Number.isInteger(value)) return { fault: t("no_whole_number") };
  const isOutside = value < (field.least ?? -Infinity) || value > (field.most ?? Infinity) || value <= (field.above ?? -Infinity);
  if (isOutside || !Number.isFinite(value)) return { fault: t("outside", { bounds: boundsText(field) || number(field.most ?? field.least) }) };
  if (field.step && value % field.step) return { fault: t("no_multiple", { step: field.step }) };
  return { value };
}

function checkText(field, text) {
  if (text.length > (field.longest ?? Infinity)) return { fault: t("too_long", { most: field.longest }) };
  if (field.pattern && !new RegExp(field.pattern, "u").test(text)) return { fault: t("wrong_form", { text }) };
  return { value: text };
}

function readList(field, text) {
  const parts = text.split(field.item.kind === "number" ? /[\s,;]+/ : /\n+/).map((part) => part.trim()).filter(Boolean);
  const read = parts.map((part) => readOne(field.item, part));
  const fault = read.find((each) => each.fault);
  if (fault) return fault;
  const value = read.map((each) => each.value);
  if (value.length > (field.most ?? Infinity)) return { fault: t("too_many", { most: field.most }) };
  if (field.isUnique && new Set(value).size < value.length) return { fault: t("not_unique") };
  return { value };
}
