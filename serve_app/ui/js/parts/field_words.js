/** What fields of requests are called, and what is said of them. A field that means something else in one kind of request has words of its own there. */
import { translator } from "../i18n.js";
import { words } from "../words/fields.js";

const t = translator(words);

export function fieldLabel(kind, path) {
  const key = keyOf(kind, path);
  return key ? t(key) : path;
}

export function fieldHint(kind, path) {
  const own = `${kind}:${path}?`;
  if (own in words.en) return t(own);
  return `${path}?` in words.en ? t(`${path}?`) : "";
}

function keyOf(kind, path) {
  return [`${kind}:${path}`, path].find((key) => key in words.en);
}
