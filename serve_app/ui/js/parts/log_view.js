/**
 * The live log of a task. Of however many lines, only those in sight have elements. It follows the end until the reader scrolls up, and
 * goes on at the next line after a break of the connection.
 */
import { fill, h, onceAFrame, setText } from "../dom.js";
import { number } from "../format.js";
import { language, translator } from "../i18n.js";
import { follow } from "../live.js";
import { words } from "../words/task.js";
import { LogStore } from "./log_store.js";
import { explain } from "./notices.js";
import { saveBlob } from "./saving.js";
import { ENDED } from "./small.js";

const t = translator(words);
const LINE_PX = 22;
/** Lines above and below those in sight, so that scrolling shows no holes. */
const MARGIN_LINES = 20;
/** So near to the end counts as there. */
const NEAR_PX = 30;
const LEVELS = [["", "log_all"], ["WARNING", "log_warning"], ["ERROR", "log_error"]];

/**
 * Make the view and begin to follow.
 * @param {string} taskId
 * @param {AbortSignal} signal ends both
 * @returns {HTMLElement}
 */
export function logView(taskId, signal) {
  const store = new LogStore();
  const parts = build(taskId, store);
  const draw = onceAFrame(() => drawLines(parts, store), signal);
  listen(parts, store, draw);
  new ResizeObserver(draw).observe(parts.window);
  followInto(taskId, { store, parts, draw, signal });
  return parts.whole;
}

function build(taskId, store) {
  const parts = {
    level: h("select", { id: "log-level" }, LEVELS.map(([value, word]) => h("option", { value }, t(word)))),
    search: h("input", { id: "log-search", type: "search" }),
    follow: h("input", { id: "log-follow", type: "checkbox", checked: true }),
    count: h("span", { class: "quiet small number" }),
    state: h("span", { class: "badge", role: "status" }),
    note: h("p", { class: "quiet small", hidden: true }),
    window: h("div", { class: "log", tabindex: "0", role: "region", "aria-label": t("log_label") }),
    lines: h("div", { class: "log-lines" }),
    field: (input, word) => h("span", { class: "row" }, h("label", { for: input.id, class: "small" }, t(word)), input),
  };
  const save = h("button", { type: "button", onclick: () => saveBlob(`${taskId}.log`, new Blob([store.asText()], { type: "text/plain" })) }, t("log_save"));
  const tools = h("div", { class: "row log-tools" }, parts.field(parts.level, "log_level"), parts.field(parts.search, "log_search"), parts.field(parts.follow, "log_follow"),
    parts.count, parts.state, save);
  parts.window.append(parts.lines);
  parts.whole = h("div", { class: "stack" }, tools, parts.note, parts.window);
  return parts;
}

function listen(parts, store, draw) {
  const narrow = () => {
    store.filter(parts.level.value, parts.search.value.trim());
    draw();
  };
  parts.level.addEventListener("change", narrow);
  parts.search.addEventListener("input", narrow);
  parts.follow.addEventListener("change", draw);
  parts.window.addEventListener("scroll", () => {
    if (parts.window.scrollTop !== parts.scrolledTo) parts.follow.checked = isAtEnd(parts.window);
    draw();
  }, { passive: true });
}

async function followInto(taskId, { store, parts, draw, signal }) {
  const say = (word, tone) => {
    parts.state.dataset.tone = tone;
    setText(parts.state, t(word));
  };
  const onData = (record, id) => {
    if (record.status === "error") return false; // the stream broke off; it is followed on
    if (store.add(record, id)) draw();
    return ENDED.has(record.status);
  };
  const onState = (state) => say(state === "live" ? "log_live" : "log_reconnecting", state === "live" ? "running" : "warn");
  try {
    await follow(`/api/v2/tasks/${encodeURIComponent(taskId)}/logs`, { onData, onState, signal });
    if (!signal.aborted) say("log_over", "good");
  } catch (error) {
    parts.note.hidden = false;
    setText(parts.note, t("log_refused", { reason: explain(error) }));
  }
}

/** Put the lines in sight where they belong. */
function drawLines(parts, store) {
  const { window: view, lines } = parts;
  const { found } = store;
  const height = `${found.length * LINE_PX}px`;
  if (lines.style.height !== height) lines.style.height = height;
  if (parts.follow.checked && !isAtEnd(view, 1)) view.scrollTop = view.scrollHeight;
  parts.scrolledTo = view.scrollTop;
  const first = Math.max(0, Math.floor(view.scrollTop / LINE_PX) - MARGIN_LINES);
  const last = Math.min(found.length, Math.ceil((view.scrollTop + view.clientHeight) / LINE_PX) + MARGIN_LINES);
  const style = { clock: new Intl.DateTimeFormat(language(), { timeStyle: "medium", hourCycle: "h23" }), needle: parts.search.value.trim() };
  const shown = found.slice(first, last).map((line) => lineElement(line, style));
  if (!hasSelection(lines)) fill(lines, h("div", { class: "log-part", style: { top: `${first * LINE_PX}px` } }, shown));
  setText(parts.count, t("log_lines", { shown: number(found.length), count: number(store.lines.length) }));
  if (store.dropped) {
    parts.note.hidden = false;
    setText(parts.note, t("log_dropped", { count: number(store.dropped) }));
  }
}

/** Lines that the reader is about to copy must not be replaced. */
function hasSelection(lines) {
  const selection = document.getSelection();
  return Boolean(selection && !selection.isCollapsed && lines.contains(selection.anchorNode));
}

function lineElement(line, { clock, needle }) {
  const time = line.time ? clock.format(new Date(line.time)) : "";
  return h("div", { class: "log-line", dataset: { level: line.level } }, h("time", { class: "quiet", datetime: line.time, title: line.time }, time),
    h("span", { class: "log-level" }, line.level), h("span", {}, marked(line.text, needle)));
}

/** The text with what was searched for marked. */
function marked(text, needle) {
  if (!needle) return text;
  const parts = [];
  const lower = text.toLowerCase();
  const wanted = needle.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), h("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}

function isAtEnd(view, near = NEAR_PX) {
  return view.scrollHeight - view.scrollTop - view.clientHeight <= near;
}
