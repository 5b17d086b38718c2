/** A choice between kinds of one view: "one source, several, measure". It stands in the address, so that it can be linked to. */
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { explain, notice } from "./notices.js";
import { valuesFrom } from "./prefill.js";
import { showRequestForm } from "./request_form.js";
import { replaceQuery } from "../router.js";

const t = translator(words);

/**
 * Show the choice and the form of the chosen kind.
 * @param {{root: HTMLElement, query: URLSearchParams, signal: AbortSignal}} place
 * @param {{title: string, text: string, requests: Object<string, Object>}} parts keys of words, and each kind's request
 */
export async function showKinds({ root, query, signal }, { title, text, requests }) {
  const names = Object.keys(requests);
  const place = h("div", {});
  let shown = new AbortController();
  signal.addEventListener("abort", () => shown.abort());
  const show = (name, values) => {
    shown.abort();
    shown = new AbortController();
    return showRequestForm(place, requests[name], { values, signal: shown.signal })
      .catch((error) => fill(place, notice(t("failed_to_load", { reason: explain(error) }), "bad")));
  };
  const chosen = names.includes(query.get("kind")) ? query.get("kind") : names[0];
  const choose = (name) => {
    replaceQuery({ ...Object.fromEntries(query), kind: name });
    return show(name, valuesFrom(query));
  };
  const option = (name) => h("label", { class: "kind" }, h("input", { type: "radio", name: "kind", value: name, checked: name === chosen, onchange: () => choose(name) }),
    h("span", { class: "kind-name" }, t(`kind_${name}`)), h("span", { class: "kind-text quiet small" }, t(`kind_${name}_text`)));
  fill(root, h("div", { class: "view-head" }, h("h1", {}, t(title))), h("p", { class: "quiet" }, t(text)),
    h("div", { class: "kinds", role: "radiogroup", "aria-label": t("kinds") }, names.map(option)), place);
  await show(chosen, valuesFrom(query));
}
