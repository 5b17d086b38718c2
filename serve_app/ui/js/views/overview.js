/** The overview: how the service is, what its devices do, who waits. */
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";

const t = translator();

export function open({ root }) {
  fill(root, h("div", { class: "view-head" }, h("h1", {}, t("overview"))));
}
