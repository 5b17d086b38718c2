/** What a preprocessing counted, once it has ended. */
import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { number } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task.js";
import { facts } from "./small.js";

const t = translator(words);

/** The section; `refresh()` reads it. */
export function preprocessingResults(taskId, signal) {
  const content = h("div", {}, h("p", { class: "quiet" }, t("no_results")));
  const section = h("section", { class: "card stack", "aria-labelledby": "counts" }, h("h2", { id: "counts" }, t("counts")), content);

  async function refresh() {
    const { stats } = await api(`/api/v2/preprocessing/${encodeURIComponent(taskId)}`, { signal });
    if (stats) fill(content, facts(Object.entries(stats).map(([name, value]) => [h("code", {}, name), Array.isArray(value) ? value.join(", ") : number(value)])));
  }

  return { elements: [section], refresh };
}
