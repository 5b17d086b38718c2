/** Paths inside the data roots: look into folders, choose one, put a file there, and say what a path holds. */
import { ApiError, api } from "../api.js";
import { fill, h, setText } from "../dom.js";
import { bytes } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { openDialog } from "./dialog.js";
import { attempt, explain } from "./notices.js";

const t = translator(words);
const PAGE = 200;
/** More folders than this are counted, not looked into. */
const MOST_CLASSES = 24;
const PAUSE_MS = 400;

/**
 * What stands beside a field for a path: the button that opens the picker, and a line that says what is there.
 * @returns {{wrap: (input: Node) => Node, below: HTMLElement, look: (path: string) => void}}
 */
export function pathExtras({ context, field, input, isMany, label }) {
  const below = h("p", { class: "holds", "aria-live": "polite" });
  let timer = null;
  const look = (path) => {
    clearTimeout(timer);
    // A folder for results need not be there, so it is not looked for; weights and configurations are files.
    if (isMany || /^(save|output|weight|cfg)_/.test(field.name)) return;
    timer = setTimeout(() => describeInto(below, path, field, context), PAUSE_MS);
  };
  const choose = async () => {
    const found = await pickPath({ start: isMany ? "" : input.value.trim() });
    if (!found) return;
    input.value = isMany ? [input.value.trimEnd(), found].filter(Boolean).join("\n") : found;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  input.addEventListener("input", () => look(input.value));
  queueMicrotask(() => input.value && look(input.value));
  const button = h("button", { type: "button", "aria-label": t("browse_for", { what: label }), onclick: choose }, t(isMany ? "add_path" : "browse"));
  return { wrap: (element) => h("div", { class: isMany ? "path-lines" : "with-button" }, element, button), below, look };
}

/**
 * Look at what a path holds.
 * @returns {Promise<{text: string, classes: number}>} `classes` is 0 where there are no class folders
 */
export async function whatIsAt(path) {
  const page = await api("/api/v2/data", { query: { path, limit: 1000 } });
  const folders = page.entries.filter((entry) => entry.kind === "folder");
  const files = page.entries.filter((entry) => entry.kind === "file").length;
  if (!folders.length) return { text: files ? t("holds_files", { count: more(files, page) }) : t("holds_nothing"), classes: 0 };
  if (folders.length > MOST_CLASSES) return { text: t("holds_folders", { count: more(folders.length, page) }), classes: page.next_cursor ? 0 : folders.length };
  const counts = await Promise.all(folders.map(countFiles));
  const isClasses = counts.every((count) => count !== "0");
  const named = folders.map((folder, index) => (isClasses ? t("class_count", { name: folder.name, count: counts[index] }) : folder.name)).join(", ");
  const text = isClasses ? t("holds_classes", { count: folders.length, classes: named }) : `${t("holds_folders", { count: folders.length })}: ${named}`;
  return { text, classes: isClasses ? folders.length : 0 };
}

async function countFiles(folder) {
  const page = await api("/api/v2/data", { query: { path: folder.path, limit: 1000 } });
  return more(page.entries.filter((entry) => entry.kind === "file").length, page);
}

function more(count, page) {
  return page.next_cursor ? `${count}+` : String(count);
}

async function describeInto(element, path, field, context) {
  element.dataset.path = path;
  // Only folders are looked into; what has an ending is a file.
  if (!path.trim() || /\.[A-Za-z0-9-]{1,12}$/.test(path.trim())) return setText(element, "");
  setText(element, t("looking"));
  const found = await whatIsAt(path.trim()).catch((error) => ({ error }));
  if (element.dataset.path !== path || !element.isConnected) return undefined;
  if (found.error) return setText(element, missingText(found.error));
  setText(element, found.text);
  return context.extras.onPath?.(field.name, path.trim(), found);
}

function missingText(error) {
  const key = error instanceof ApiError && { 403: "holds_hidden", 404: "holds_missing", 422: "holds_file" }[error.status];
  return key ? t(key) : explain(error);
}

/** The folders of a path as far as they are there, from the first data root on: "a/b" of "a/b/new". Nothing that is missing is asked for. */
export async function existingPart(path) {
  let reached = ".";
  for (const name of path.split("/").filter((part) => part && part !== ".")) {
    const page = await api("/api/v2/data", { query: { path: reached, limit: 1000 } });
    const next = page.entries.find((entry) => entry.kind === "folder" && entry.name === name);
    if (!next) return reached;
    reached = next.path;
  }
  return reached;
}

/**
 * Let the visitor choose a file or folder.
 * @param {{start?: string}} place where to begin
 * @returns {Promise<string|null>}
 */
export function pickPath({ start = "" } = {}) {
  const list = h("ul", { class: "picker-list" });
  const where = h("p", { class: "picker-where break", role: "status" });
  const said = h("p", { class: "small quiet", role: "status" });
  const moreButton = h("button", { type: "button", hidden: true }, t("picker_more"));
  const picker = { path: null, list, where, said, moreButton, close: () => {} };
  return openDialog({
    title: t("picker_title"),
    content: [h("div", { class: "picker stack" }, where, list, moreButton, uploadPart(picker), said)],
    buttons: (close) => {
      picker.close = close;
      const use = h("button", { type: "button", class: "primary", onclick: () => close(picker.path) }, t("picker_here"));
      picker.use = use;
      begin(picker, start);
      return [use, h("button", { type: "button", onclick: () => close(null) }, t("cancel"))];
    },
  });
}

async function begin(picker, start) {
  const place = start.startsWith("/") ? start : await existingPart(start).catch(() => ".");
  await openFolder(picker, place);
}

async function openFolder(picker, path) {
  try {
    showPage(picker, await api("/api/v2/data", { query: { path: path ?? "", limit: PAGE } }));
    picker.list.querySelector("button")?.focus();
  } catch (error) {
    setText(picker.said, explain(error));
  }
}

function showPage(picker, page) {
  picker.path = page.path;
  picker.use.disabled = page.path === null;
  setText(picker.said, page.entries.length ? "" : t("picker_empty"));
  fill(picker.where, page.path === null ? t("picker_roots") : t("picker_where", { path: page.path }));
  const up = page.path === null ? null : row(picker, { name: `↑ ${t("picker_up")}`, kind: "up", path: page.parent });
  fill(picker.list, up, page.entries.map((entry) => row(picker, entry)));
  showMore(picker, page);
}

function showMore(picker, page) {
  const { moreButton } = picker;
  moreButton.hidden = !page.next_cursor;
  moreButton.onclick = async () => {
    const next = await attempt(() => api("/api/v2/data", { query: { path: page.path, limit: PAGE, cursor: page.next_cursor } }));
    if (!next || picker.path !== page.path) return;
    picker.list.append(...next.entries.map((entry) => row(picker, entry)));
    showMore(picker, next);
  };
}

function row(picker, entry) {
  const isFolder = entry.kind === "folder" || entry.kind === "up";
  const open = () => (isFolder ? openFolder(picker, entry.path) : picker.close(entry.path));
  const mark = h("span", { class: "picker-mark", dataset: { kind: entry.kind }, "aria-hidden": "true" });
  const tail = entry.kind === "file" ? bytes(entry.size_bytes) : entry.kind === "folder" ? "›" : entry.kind === "unusable" ? t("picker_unusable") : "";
  const kind = entry.kind === "up" ? null : h("span", { class: "visually-hidden" }, ` ${t(`picker_${entry.kind}`)}`);
  return h("li", {}, h("button", { type: "button", class: "picker-row", disabled: entry.kind === "unusable", onclick: open }, mark, h("span", { class: "break" }, entry.name, kind), h("span", { class: "quiet small" }, tail)));
}

function uploadPart(picker) {
  const input = h("input", { type: "file", id: "picker-file", multiple: true, class: "visually-hidden", onchange: () => uploadAll(picker, [...input.files]).finally(() => {
    input.value = "";
  }) });
  return h("div", {}, h("label", { class: "button", for: "picker-file" }, t("picker_upload")), input);
}

async function uploadAll(picker, files) {
  for (const file of files) {
    const path = [picker.path, file.name].filter((part) => part && part !== ".").join("/");
    setText(picker.said, t("picker_uploading", { name: file.name }));
    try {
      await api("/api/v2/data", { method: "POST", query: { path }, raw: file, headers: { "Content-Type": "application/octet-stream" } });
    } catch (error) {
      return setText(picker.said, explain(error));
    }
    await openFolder(picker, picker.path);
    setText(picker.said, t("picker_uploaded", { name: file.name }));
  }
  return undefined;
}
