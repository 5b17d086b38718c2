/** Dialogs, by the browser's own element: it keeps the focus inside and gives it back. */
import { h } from "../dom.js";
import { translator } from "../i18n.js";

const t = translator();
let count = 0;

/**
 * Show a dialog and wait for its end. It ends with the view that opened it, unless it belongs to the whole page.
 * @param {{title: string, content: Array<Node|string>, buttons: (close: (answer: any) => void) => Array<Node>, isOfPage?: boolean}} parts
 * @returns {Promise<any>} what `close` was given; null where it was closed otherwise
 */
export function openDialog({ title, content, buttons, isOfPage = false }) {
  count += 1;
  const heading = h("h2", { id: `dialog-${count}` }, title);
  return new Promise((resolve) => {
    let answer = null;
    const dialog = h("dialog", { "aria-labelledby": heading.id });
    const close = (given) => {
      answer = given;
      dialog.close();
    };
    const form = h("form", { method: "dialog", class: "stack" }, heading, content, h("div", { class: "row" }, buttons(close)));
    dialog.append(form);
    const leave = () => dialog.close();
    if (!isOfPage) window.addEventListener("hashchange", leave);
    dialog.addEventListener("close", () => {
      window.removeEventListener("hashchange", leave);
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for a yes; gives whether it was given. */
export async function confirmWith(title, text, action, { isDangerous = false } = {}) {
  const answer = await openDialog({
    title,
    content: [h("p", {}, text)],
    buttons: (close) => [
      h("button", { type: "button", class: isDangerous ? "danger" : "primary", onclick: () => close(true) }, action),
      h("button", { type: "button", onclick: () => close(null) }, t("cancel")),
    ],
  });
  return answer === true;
}

/** Ask for an API key; gives it, or null. */
export async function askForKey() {
  const input = h("input", { id: "api-key", type: "password", autocomplete: "off", required: true });
  return openDialog({
    isOfPage: true,
    title: t("key_title"),
    content: [h("p", {}, t("key_text")), h("div", { class: "field" }, h("label", { for: "api-key" }, t("key")), input)],
    buttons: (close) => [
      h("button", { type: "submit", class: "primary", onclick: (event) => {
        event.preventDefault();
        close(input.value.trim() || null);
      } }, t("use_key")),
      h("button", { type: "button", onclick: () => close(null) }, t("cancel")),
    ],
  });
}
