/** The page's two languages. A view brings its own words; those that many need are in words/common.js. */
import { words as common } from "./words/common.js";
import { remembered, remember } from "./memory.js";

export const LANGUAGES = { en: "English", zh: "中文" };

let current = remembered("language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(current in LANGUAGES)) current = "en";
const listeners = new Set();

export function language() {
  return current;
}

/** Change the language of the whole page, and remember it. */
export function setLanguage(name) {
  current = name;
  remember("language", name);
  for (const listener of listeners) listener(name);
}

export function onLanguage(listener) {
  listeners.add(listener);
}

/**
 * A function that tells texts in the current language.
 * @param {{en: Object<string, string>, zh: Object<string, string>}} words of a view; they win over the common ones
 * @returns {(key: string, values?: Object<string, any>) => string} `{name}` in a text stands for `values.name`
 */
export function translator(words = { en: {}, zh: {} }) {
  return (key, values = {}) => {
    const text = words[current][key] ?? common[current][key] ?? words.en[key] ?? common.en[key];
    if (text === undefined) throw new Error(`no text is called ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
  };
}
