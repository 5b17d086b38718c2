/**
 * What was entered in a view that is drawn anew because the language changed.
 *
 * It owns the entries from the moment the old view ends until the new one takes them. A view that is left for another one leaves nothing here.
 */
import { language } from "../i18n.js";

const kept = new Map();

/**
 * Take what the same view held before the language changed, and hold what this one holds when it changes again.
 * @param {string} name of the view, or of the form in it
 * @param {AbortSignal} signal that ends the view
 * @param {() => any} read gives what is to be kept; called as the view ends
 * @returns {any} what `read` gave before; undefined where the view is opened for another reason
 */
export function keepOverLanguages(name, signal, read) {
  const spoken = language();
  const found = kept.get(name);
  kept.delete(name);
  signal.addEventListener("abort", () => {
    if (language() !== spoken) kept.set(name, { address: location.hash, entries: read() });
  });
  return found?.address === location.hash ? found.entries : undefined;
}

const ENTRIES = "input, select, textarea, details";

/** What stands in the fields of an element, wrong entries too, in their order. */
export function entriesOf(element) {
  return [...element.querySelectorAll(ENTRIES)].map((each) => ({ name: each.name, value: each.value, isChecked: each.checked, isOpen: each.open }));
}

/** Put entries into the fields of an element that was made like the first one; each that changes says so, as if a visitor had done it. */
export function putEntries(element, entries) {
  const fields = [...element.querySelectorAll(ENTRIES)];
  if (fields.length !== entries.length || fields.some((each, index) => each.name !== entries[index].name)) return;
  fields.forEach((each, index) => putEntry(each, entries[index]));
}

function putEntry(field, { value, isChecked, isOpen }) {
  if (field.tagName === "DETAILS") {
    field.open = isOpen;
  } else if (field.type === "checkbox" || field.type === "radio") {
    if (field.checked === isChecked) return;
    field.checked = isChecked;
    if (isChecked || field.type === "checkbox") field.dispatchEvent(new Event("change", { bubbles: true }));
  } else if (field.value !== value) {
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) field.append(new Option(value, value));
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
