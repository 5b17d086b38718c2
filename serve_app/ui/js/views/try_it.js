/** Try a model on files of one's own: drop them, see the answer. */
import { ApiError, api } from "../api.js";
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { showAnswer, showFault, waitingCard } from "../parts/answer_card.js";
import { fieldsOf } from "../parts/contract.js";
import { keepOverLanguages } from "../parts/drafts.js";
import { ACCEPTED, groupFiles } from "../parts/dropped.js";
import { explain, notice } from "../parts/notices.js";
import { replaceQuery } from "../router.js";
import { subscribe } from "../state.js";
import { words } from "../words/try_it.js";

const t = translator(words);
/** As many files are on their way at once; the rest wait here rather than in the service's line. */
const AT_ONCE = 2;

export async function open({ root, query, signal }) {
  const view = { signal, wanted: query.get("model") ?? "", previews: [], waiting: [], running: 0, held: [], versions: new Map() };
  view.model = h("select", { id: "try-model", onchange: () => replaceQuery({ model: view.model.value }) });
  view.modelField = h("div", { class: "field try-model", hidden: true }, h("label", { for: "try-model" }, t("which_model")), view.model);
  view.modelSaid = h("div", {});
  view.results = h("div", { class: "stack", "aria-live": "polite" });
  view.settings = await settingsPart(view);
  if (signal.aborted) return;
  signal.addEventListener("abort", () => view.previews.forEach((url) => URL.revokeObjectURL(url)));
  fill(root, h("div", { class: "view-head" }, h("h1", {}, t("try_it"))), h("p", { class: "quiet" }, t("try_text")), view.modelField, view.modelSaid, dropZone(view), view.settings.element, view.results);
  takeDraft(view);
  subscribe("models", () => readModels(view), signal);
  await readModels(view);
}

/** Files that wait for what they do not tell, and what was entered for them, outlive a change of language. */
function takeDraft(view) {
  const { format, rate, center } = view.settings;
  const before = keepOverLanguages("try", view.signal, () => ({ held: view.held, format: format.value, rate: rate.value, center: center.value }));
  if (!before) return;
  view.held = before.held;
  Object.assign(rate, { value: before.rate });
  Object.assign(center, { value: before.center });
  if (before.format) format.value = before.format;
  if (view.held.length) askForRest(view);
}

async function readModels(view) {
  try {
    const { models } = await api("/api/v2/models", { signal: view.signal });
    view.modelField.hidden = models.length === 0;
    fill(view.modelSaid, models.length ? null : notice(t("no_model"), "warn", h("a", { href: "#/models" }, t("to_models"))));
    view.versions.clear();
    drawOptions(view, models.flatMap((model) => optionsOf(view, model)));
  } catch (error) {
    if (!view.signal.aborted) fill(view.modelSaid, notice(t("failed_to_load", { reason: explain(error) }), "bad"));
  }
}

/** The select stays where it is, and its options too where they say the same: it may be open just now. */
function drawOptions(view, options) {
  const same = (one, other) => one?.value === other.value && one.text === other.text;
  if (options.length === view.model.options.length && options.every((option, index) => same(view.model.options[index], option))) return;
  const chosen = view.model.value || view.wanted;
  fill(view.model, options);
  if (options.length) view.model.value = view.versions.has(chosen) ? chosen : options[0].value;
}

function optionsOf(view, model) {
  const byNumber = new Map(model.versions.map((version) => [version.version, version]));
  const names = [...Object.entries(model.aliases), ...[...byNumber.keys()].reverse().map((number) => [number, number])];
  return names.map(([name, number]) => {
    const version = byNumber.get(number);
    const id = `${model.name}@${name}`;
    view.versions.set(id, version);
    return h("option", { value: id }, t(version.model_card.recipe ? "takes_both" : "takes_pictures", { name: id }));
  });
}

function dropZone(view) {
  const input = h("input", { type: "file", id: "try-files", multiple: true, class: "visually-hidden", accept: ACCEPTED, onchange: () => {
    take(view, [...input.files]);
    input.value = "";
  } });
  const zone = h("section", { class: "drop-zone", "aria-label": t("drop_here") }, h("p", { class: "drop-head" }, t("drop_here")), h("p", { class: "quiet small" }, t("drop_or")),
    h("div", {}, h("label", { class: "button primary", for: "try-files" }, t("choose_files")), input), h("p", { class: "quiet small" }, t("drop_kinds")));
  const mark = (isOver) => (event) => {
    event.preventDefault();
    zone.toggleAttribute("data-over", isOver);
  };
  zone.addEventListener("dragenter", mark(true));
  zone.addEventListener("dragover", mark(true));
  zone.addEventListener("dragleave", mark(false));
  zone.addEventListener("drop", (event) => {
    mark(false)(event);
    take(view, [...event.dataTransfer.files]);
  });
  return zone;
}

/** The fields for what recordings do not tell; shown when one comes that needs them. */
async function settingsPart(view) {
  const fields = await fieldsOf("InferenceRequest").catch(() => []);
  const formats = fields.find((field) => field.name === "format")?.choices ?? [];
  const format = h("select", { id: "try-format", "aria-describedby": "try-format-hint" }, formats.map((name) => h("option", { value: name }, name)));
  const rate = h("input", { id: "try-rate", inputmode: "decimal", autocomplete: "off", "aria-describedby": "try-rate-hint try-fault" });
  const center = h("input", { id: "try-center", inputmode: "decimal", autocomplete: "off", "aria-describedby": "try-center-hint" });
  const fault = h("p", { class: "fault", id: "try-fault", hidden: true });
  const said = h("p", {});
  const field = (input, key, hint) => h("div", { class: "field" }, h("label", { for: input.id }, t(key)), input, h("p", { class: "hint", id: `${input.id}-hint` }, t(hint)));
  const parts = { format, rate, center, fault, said, formatField: field(format, "datatype", "datatype_hint"), rateField: field(rate, "sample_rate", "sample_rate_hint") };
  const form = h("form", { class: "card stack", hidden: true, novalidate: true, "aria-label": t("recording_settings"), onsubmit: (event) => {
    event.preventDefault();
    release(view, parts);
  } }, h("h2", {}, t("recording_settings")), said, h("div", { class: "form-grid" }, parts.formatField, parts.rateField, field(center, "center", "center_hint")), fault, h("div", {}, h("button", { type: "submit", class: "primary" }, t("predict"))));
  return { ...parts, element: form };
}

/** Files have come: those that tell enough are predicted at once, the others when the visitor has said the rest. */
function take(view, files) {
  for (const group of groupFiles(files)) {
    const card = waitingCard(group);
    if (group.kind === "unsupported") showFault(card, group, new ApiError(415, { message: t("unsupported", { name: group.name }) }));
    else if (group.kind === "lonely") showFault(card, group, new ApiError(415, { message: t("lonely_sidecar", { name: group.name }) }));
    else if (group.kind === "recording" && takesPicturesOnly(view)) showFault(card, group, new ApiError(415, { message: t("no_recipe") }));
    else if (group.asks.rate || group.asks.format) {
      view.held.push(group);
      continue;
    } else begin(view, { group, card, query: {} });
    view.results.prepend(card);
  }
  askForRest(view);
}

function takesPicturesOnly(view) {
  const version = view.versions.get(view.model.value);
  return version !== undefined && version.model_card.recipe === null;
}

function askForRest(view) {
  const { element, said, formatField, rateField, rate } = view.settings;
  element.hidden = view.held.length === 0;
  if (element.hidden) return;
  fill(said, t("recording_text", { names: view.held.map((group) => group.name).join(", ") }));
  formatField.hidden = !view.held.some((group) => group.asks.format);
  rateField.hidden = !view.held.some((group) => group.asks.rate);
  (formatField.hidden ? rate : view.settings.format).focus();
}

/** Send what was held back, with what the visitor said. */
function release(view, { format, rate, center, fault }) {
  const [hertz, middle] = [rate, center].map((input) => (input.value.trim() ? Number(input.value) : null));
  const isWrong = (view.held.some((group) => group.asks.rate) && !(hertz > 0)) || Number.isNaN(middle);
  fault.hidden = !isWrong;
  fill(fault, isWrong ? t("no_number") : null);
  const wrong = Number.isNaN(middle) ? center : rate;
  rate.removeAttribute("aria-invalid");
  center.removeAttribute("aria-invalid");
  if (isWrong) {
    wrong.setAttribute("aria-invalid", "true");
    wrong.focus();
    return;
  }
  for (const group of view.held.splice(0)) {
    const card = waitingCard(group);
    view.results.prepend(card);
    begin(view, { group, card, query: { format: group.asks.format ? format.value : null, sample_rate: group.asks.rate ? hertz : null, center_frequency: middle } });
  }
  askForRest(view);
}

function begin(view, wish) {
  view.waiting.push({ ...wish, model: view.model.value });
  while (view.running < AT_ONCE && view.waiting.length) predict(view, view.waiting.shift());
}

async function predict(view, { group, card, query, model }) {
  view.running += 1;
  try {
    const answer = await ask(group, { ...query, model }, view.signal);
    const preview = group.kind === "picture" ? URL.createObjectURL(group.files[0]) : null;
    if (preview) view.previews.push(preview);
    showAnswer(card, group, answer, { preview, below: view.versions.get(model)?.model_card.unknown_below });
  } catch (error) {
    if (!view.signal.aborted) showFault(card, group, error);
  } finally {
    view.running -= 1;
    if (!view.signal.aborted && view.waiting.length) predict(view, view.waiting.shift());
  }
}

/** A body of several parts in any case: the names tell what the files are. */
async function ask(group, query, signal) {
  const form = new FormData();
  for (const file of group.files) form.append("files", file, file.name);
  const isRecording = group.kind === "recording";
  return api("/api/v2/predict", { method: "POST", raw: form, query: { ...query, ...(isRecording ? { spectrogram: true } : {}) }, signal });
}
