/** One file's answer: the picture with its class, or the spectrogram with the class of each frame under it. */
import { ApiError } from "../api.js";
import { fill, h } from "../dom.js";
import { hertz, number, percent } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/try_it.js";
import { explain, notice } from "./notices.js";

const t = translator(words);
const UNKNOWN = "unknown";
/** Each class has a colour and a pattern and its name: the colour is never the only sign. */
const TINTS = ["--training", "--warn", "--serving", "--inference", "--bad", "--preprocessing"];
/** More frames than this are drawn without a name in each. */
const MOST_NAMED = 16;
const MOST_ROWS = 500;

/** An empty card that says that the answer is on its way. */
export function waitingCard(group) {
  return h("article", { class: "card stack answer", "aria-label": group.name, "aria-busy": "true" }, h("h3", { class: "break" }, group.name), h("p", { class: "quiet" }, t("waiting")), h("progress", { "aria-label": t("waiting") }));
}

/** Fill a card with an answer of the service. */
export function showAnswer(card, group, answer, { preview, below }) {
  card.setAttribute("aria-busy", "false");
  const body = group.kind === "picture" ? pictureParts(group, answer, preview, below) : recordingParts(group, answer, below);
  fill(card, h("h3", { class: "break" }, group.name), body, timing(answer));
}

/** Fill a card with what went wrong. */
export function showFault(card, group, error) {
  card.setAttribute("aria-busy", "false");
  fill(card, h("h3", { class: "break" }, group.name), notice(faultText(error), "bad"));
}

function faultText(error) {
  if (!(error instanceof ApiError)) return t("gone", { reason: error.message });
  if (error.status === 429) return t("busy");
  if (error.status === 504) return t("too_slow");
  if (error.status === 503) return t("not_ready", { reason: error.message });
  if (error.status === 413) return t("too_large", { reason: error.message });
  return explain(error);
}

function pictureParts(group, answer, preview, below) {
  const row = answer.predictions[0];
  if (!row || row.error) return notice(row?.error ?? t("error_frame"), "bad");
  const image = h("img", { src: preview, alt: t("picture_of", { name: group.name }), class: "preview" });
  image.addEventListener("error", () => image.replaceWith(h("p", { class: "quiet small" }, t("not_shown"))));
  return h("div", { class: "answer-parts" }, image, h("div", { class: "stack" }, verdict(row, below), bars(row.top)));
}

function recordingParts(group, answer, below) {
  const summary = answer.summary[0];
  const frames = answer.predictions;
  const drawn = (answer.spectrograms ?? [])[0];
  if (!summary || (summary.class === null && summary.error)) return notice(summary?.error ?? t("error_frame"), "bad");
  const total = drawn?.duration_s ?? summary.seconds ?? 0;
  const colours = coloursOf(frames, summary);
  return [
    h("div", { class: "stack" }, verdict(summary, below), h("p", { class: "quiet small" }, t("frames_of", { frames: number(summary.frames), seconds: number(summary.seconds, 3) }))),
    summary.error ? notice(summary.error, "warn") : null,
    h("div", { class: "timeline" }, drawn ? picture(group, drawn) : h("p", { class: "quiet small" }, t("no_spectrogram")), strip(frames, total, colours), axis(total)),
    legend(summary, colours),
    bars(summary.top),
    framesTable(frames),
  ].filter(Boolean);
}

function verdict(row, below) {
  if (row.class !== UNKNOWN) return h("p", { class: "verdict" }, h("strong", { class: "break" }, row.class), " ", h("span", { class: "quiet" }, t("sure", { percent: number(row.confidence, 1) })));
  const why = below === null || below === undefined ? t("unknown_plain") : t("unknown_text", { below: percent(below) });
  return h("div", {}, h("p", { class: "verdict" }, h("strong", {}, `? ${t("is_unknown")}`)), h("p", { class: "quiet small" }, why));
}

function bars(top) {
  const row = (each) => h("li", {}, h("span", { class: "break" }, each.class), h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { width: `${Math.max(0.5, each.confidence)}%` } })), h("span", { class: "number" }, t("sure", { percent: number(each.confidence, 1) })));
  return h("ol", { class: "bars", "aria-label": t("top") }, top.map(row));
}

function picture(group, drawn) {
  const half = drawn.sample_rate / 2;
  const center = drawn.center_frequency ?? 0;
  const sign = (value) => (drawn.center_frequency === null && value > 0 ? "+" : "");
  const label = (value) => h("span", {}, sign(value) + hertz(value));
  return h("div", { class: "spectrogram" }, h("div", { class: "frequencies small quiet", "aria-hidden": "true" }, label(center + half), label(center), label(center - half)),
    h("img", { src: `data:image/png;base64,${drawn.png_base64}`, alt: t("spectrogram_of", { name: group.name }) }));
}

function coloursOf(frames, summary) {
  const names = [...new Set([...Object.keys(summary.frames_per_class ?? {}), ...frames.map((frame) => frame.class).filter(Boolean)])];
  return new Map(names.map((name, index) => [name, name === UNKNOWN ? { tint: "--foreign", pattern: "dotted", letter: "?" } : { tint: TINTS[index % TINTS.length], pattern: index < TINTS.length ? "plain" : "striped", letter: String.fromCharCode(65 + (index % 26)) }]));
}

/** The frames as pieces along the time axis, at the places where they are. */
function strip(frames, total, colours) {
  const piece = (frame) => {
    const look = colours.get(frame.class) ?? { tint: "--line", pattern: "dotted", letter: "!" };
    const start = frame.start_s ?? 0;
    const name = frame.class ?? t("error_frame");
    const text = t("strip_frame", { start: number(start, 4), name: frame.class === UNKNOWN ? t("is_unknown") : name, percent: number(frame.confidence, 1) });
    const place = { left: `${(100 * start) / total}%`, width: `${(100 * (frame.duration_s ?? 0)) / total}%`, background: `var(${look.tint})` };
    return h("span", { class: "piece", dataset: { pattern: look.pattern }, style: place, title: text }, frames.length <= MOST_NAMED ? h("span", {}, `${look.letter} ${name}`) : frames.length <= 4 * MOST_NAMED ? look.letter : null);
  };
  const summed = [...colours].map(([name, { letter }]) => `${letter} ${name}`).join(", ");
  return h("div", { class: "strip", role: "img", "aria-label": `${t("strip")}: ${summed}` }, total > 0 ? frames.map(piece) : null);
}

function axis(total) {
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return h("div", { class: "time-axis small quiet", "aria-hidden": "true" }, steps.map((part) => h("span", {}, number(total * part, total < 1 ? 4 : 2))), h("span", { class: "unit" }, t("time_axis")));
}

function legend(summary, colours) {
  const entry = ([name, { tint, pattern, letter }]) => h("li", {}, h("span", { class: "swatch piece", dataset: { pattern }, style: { background: `var(${tint})` }, "aria-hidden": "true" }, letter),
    t("frames_each", { name: name === UNKNOWN ? t("is_unknown") : name, count: number(summary.frames_per_class?.[name] ?? 0) }));
  return h("ul", { class: "legend small" }, [...colours].map(entry));
}

function framesTable(frames) {
  const columns = ["frame", "start", "length", "class_", "confidence"];
  const row = (frame) => h("tr", {}, h("th", { scope: "row", class: "number" }, number(frame.segment)), h("td", { class: "number" }, `${number(frame.start_s, 4)} s`), h("td", { class: "number" }, `${number(frame.duration_s, 4)} s`),
    h("td", {}, frame.error ?? (frame.class === UNKNOWN ? t("is_unknown") : frame.class)), h("td", { class: "number" }, frame.confidence === null ? "–" : t("sure", { percent: number(frame.confidence, 1) })));
  const table = () => h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("frames_table") }, h("table", {}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, t(name))))), h("tbody", {}, frames.slice(0, MOST_ROWS).map(row))));
  const place = h("div", {});
  return h("details", { ontoggle: () => place.childElementCount || fill(place, table()) }, h("summary", {}, t("frames_table")), place);
}

function timing(answer) {
  const { timing: spent } = answer;
  const by = t("answered_by", { model: answer.model, version: answer.version, device: answer.device + (answer.simulated ? ` (${t("simulated")})` : ""), precision: answer.precision });
  const took = answer.cached ? t("took_cached", { total: number(spent.total_ms, 0) }) : t("took", { total: number(spent.total_ms, 0), queue: number(spent.queue_ms, 1), prepare: number(spent.preprocess_ms, 1), forward: number(spent.forward_ms, 1) });
  return h("p", { class: "quiet small answered" }, by, h("span", { class: "block" }, took));
}
