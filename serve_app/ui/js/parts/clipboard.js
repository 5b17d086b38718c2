/** Copying a text for the visitor to paste elsewhere. */
import { h } from "../dom.js";
import { translator } from "../i18n.js";
import { toast } from "./notices.js";

const t = translator();

/** Put a text on the clipboard, and say whether it is there. */
export async function copyText(text) {
  const isThere = await (navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"))).then(() => true, () => copySelected(text));
  if (isThere) toast(t("copied"));
  else toast(t("not_copied"), "bad");
}

/** Over plain HTTP from another computer browsers give no clipboard, and they may refuse it elsewhere: then a selection is copied. */
function copySelected(text) {
  const area = h("textarea", { class: "visually-hidden", value: text, "aria-hidden": "true" });
  (document.querySelector("dialog[open]") ?? document.body).append(area); // outside of an open dialog nothing can be selected
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}
