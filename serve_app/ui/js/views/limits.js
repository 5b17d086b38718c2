/** How many tasks may run at once on each device: change it, see first what it would do, save it. */
import { ApiError, api } from "../api.js";
import { fill, h, onceAFrame, setText } from "../dom.js";
import { percent } from "../format.js";
import { translator } from "../i18n.js";
import { changesOf, kindsOf, limitsAfter, partsOf, whoWouldStart } from "../parts/limit_effects.js";
import { keepOverLanguages } from "../parts/drafts.js";
import { explain, notice } from "../parts/notices.js";
import * as state from "../state.js";
import { words } from "../words/limits.js";

const t = translator(words);
const MOST = 64;
const KINDS = ["training", "inference", "preprocessing"];
/** As many waiting tasks are asked why they wait; more would be a page of its own. */
const MOST_ASKED = 12;
const PAUSE_MS = 350;
/** The stream tells of resources once a second at most, and not of what was changed and changed back in between. */
const SECOND_LOOK_MS = 2000;

export async function open({ root, signal }) {
  const view = { signal, inputs: new Map(), edited: new Map(), seen: new Map(), sent: new Map(), timer: null };
  view.table = h("div", { class: "card stack" });
  view.preview = h("section", { class: "card stack", "aria-label": t("preview"), role: "status" });
  view.said = h("div", {});
  view.save = h("button", { type: "submit", class: "primary", disabled: true }, t("save"));
  view.undo = h("button", { type: "button", disabled: true, onclick: () => undo(view) }, t("undo"));
  const form = h("form", { class: "stack", novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    save(view);
  } }, view.table, view.said, h("div", { class: "row submit-row" }, view.save, view.undo));
  fill(root, h("div", { class: "view-head" }, h("h1", {}, t("limits"))), h("p", { class: "quiet" }, t("limits_text")), h("div", { class: "form-and-side" }, form, h("div", { class: "form-side" }, view.preview)));
  fill(view.table, h("p", { class: "quiet" }, t("loading")));
  signal.addEventListener("abort", () => clearTimeout(view.timer));
  await state.ready();
  if (signal.aborted) return;
  view.edited = keepOverLanguages("limits", signal, () => view.edited) ?? view.edited;
  drawTable(view);
  drawPreview(view);
  state.subscribe("resources", onceAFrame(() => renew(view), signal), signal);
}

function drawTable(view) {
  const devices = state.resources.devices;
  const focused = document.activeElement?.name;
  view.inputs.clear();
  view.names = namesOf(devices);
  const head = h("tr", {}, h("th", { scope: "col" }, t("device")), KINDS.map((kind) => h("th", { scope: "col" }, t(`kind_${kind}`))));
  const gpus = devices.filter((device) => device.kind === "cuda").length;
  fill(view.table, h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("limits") }, h("table", { class: "limits" }, h("caption", { class: "visually-hidden" }, t("limits")), h("thead", {}, head),
    h("tbody", {}, devices.map((device) => deviceRow(view, device)), gpus > 1 ? allRow(view, devices) : null))), h("p", { class: "hint quiet small" }, t("bounds")));
  // What was entered for a device that is no longer there can neither be shown nor sent.
  for (const key of view.edited.keys()) if (!view.inputs.has(key)) view.edited.delete(key);
  view.inputs.get(focused)?.input.focus();
}

function namesOf(devices) {
  return devices.map((device) => device.device).join(" ");
}

function deviceRow(view, device) {
  const state_ = !device.present ? t("offline") : device.quarantine ? t("quarantined", { reason: device.quarantine }) : device.name;
  return h("tr", {}, h("th", { scope: "row" }, device.device, h("span", { class: "block small quiet normal" }, state_)),
    KINDS.map((kind) => h("td", {}, kindsOf(device).includes(kind) ? limitField(view, device, kind) : h("span", { class: "quiet small" }, t("none_on_gpu")))));
}

function limitField(view, device, kind) {
  const key = `${device.device} ${kind}`;
  const label = labelOf(key);
  const note = h("span", { class: "small quiet block", id: `limit-${key.replace(/\W/g, "-")}` });
  const input = h("input", { type: "number", min: 0, max: MOST, step: 1, class: "limit", name: key, "aria-label": label, "aria-describedby": note.id, value: view.edited.get(key) ?? device.limits[kind], oninput: () => edit(view, key) });
  view.inputs.set(key, { input, note, label });
  view.seen.set(key, device.limits[kind]);
  if (typeof (view.edited.get(key) ?? 0) !== "number") input.setAttribute("aria-invalid", "true");
  showNote(view, key, device, kind);
  return h("div", {}, input, note);
}

function labelOf(key) {
  const [device, kind] = key.split(" ");
  return t("limit_of", { kind: t(`kind_${kind}`), device });
}

/** One row that fills in all GPUs: only a help for typing, nothing that is sent. */
function allRow(view, devices) {
  const field = (kind) => {
    const put = () => {
      for (const device of devices.filter((each) => each.kind === "cuda")) {
        const key = `${device.device} ${kind}`;
        view.inputs.get(key).input.value = input.value;
        edit(view, key);
      }
    };
    const input = h("input", { type: "number", min: 0, max: MOST, class: "limit", "aria-label": t("limit_of", { kind: t(`kind_${kind}`), device: t("all_gpus") }) });
    return h("td", {}, h("div", { class: "row nowrap" }, input, h("button", { type: "button", onclick: put }, t("apply_all"))));
  };
  return h("tr", {}, h("th", { scope: "row" }, t("all_gpus")), field("training"), field("inference"), h("td", {}));
}

function showNote(view, key, device, kind) {
  const { input, note } = view.inputs.get(key);
  input.toggleAttribute("data-changed", view.edited.has(key));
  const changed = view.edited.has(key) ? ` · ${t("was", { value: device.limits[kind] })}` : "";
  setText(note, t("runs_now", { count: device.usage[kind] ?? 0 }) + changed);
}

function edit(view, key) {
  const { input } = view.inputs.get(key);
  const [name, kind] = key.split(" ");
  const device = state.resources.devices.find((each) => each.device === name);
  if (!device) return;
  const isRight = /^\d{1,2}$/.test(input.value.trim()) && Number(input.value) <= MOST;
  if (isRight) input.removeAttribute("aria-invalid");
  else input.setAttribute("aria-invalid", "true");
  if (isRight && Number(input.value) === device.limits[kind]) view.edited.delete(key);
  else view.edited.set(key, isRight ? Number(input.value) : input.value);
  showNote(view, key, device, kind);
  fill(view.said);
  drawPreview(view);
}

/** New figures of the service: what is being edited stays. */
function renew(view) {
  if (namesOf(state.resources.devices) !== view.names) drawTable(view);
  for (const device of state.resources.devices) {
    for (const kind of kindsOf(device)) {
      const key = `${device.device} ${kind}`;
      const { input } = view.inputs.get(key);
      if (isChangedElsewhere(view, key, device.limits[kind])) fill(view.said, notice(t("changed_elsewhere"), "warn"));
      view.seen.set(key, device.limits[kind]);
      if (view.edited.get(key) === device.limits[kind]) view.edited.delete(key);
      if (!view.edited.has(key) && document.activeElement !== input) input.value = device.limits[kind];
      showNote(view, key, device, kind);
    }
  }
  drawPreview(view);
}

/** Whether somebody else has set what is being edited here; what this page has sent itself is not news. */
function isChangedElsewhere(view, key, limit) {
  return view.edited.has(key) && view.seen.get(key) !== limit && view.edited.get(key) !== limit && view.sent.get(key) !== limit;
}

function wrongOnes(view) {
  return [...view.edited].filter(([, value]) => typeof value !== "number").map(([key]) => view.inputs.get(key));
}

function drawPreview(view) {
  const wrong = wrongOnes(view);
  view.save.disabled = view.edited.size === 0;
  view.undo.disabled = view.edited.size === 0;
  const wanted = new Map([...view.edited].filter(([, value]) => typeof value === "number"));
  const changes = changesOf(state.resources.devices, wanted);
  const signature = JSON.stringify([[...view.edited], state.resources.devices.map((device) => [device.usage, device.limits, device.free]), state.resources.queue.length]);
  if (signature === view.signature) return;
  view.signature = signature;
  clearTimeout(view.timer);
  const heading = h("h2", {}, t("preview"));
  if (wrong.length) return void fill(view.preview, heading, h("ul", { class: "faults" }, wrong.map(({ label }) => h("li", {}, t("wrong", { field: label })))));
  if (!changes.length) return void fill(view.preview, heading, h("p", { class: "quiet" }, t("preview_none")));
  const waiting = h("div", { class: "stack" }, h("p", { class: "quiet small" }, t("preview_reading")));
  fill(view.preview, heading, h("ul", { class: "effects" }, changes.map(changeLine)), totals(changes), h("h3", {}, t("preview_waiting")), waiting, ...shares(changes, wanted));
  view.timer = setTimeout(() => showWaiting(view, waiting, wanted), PAUSE_MS);
}

function changeLine(change) {
  const values = { kind: t(`kind_${change.kind}`), device: change.device.device, old: change.old, new: change.new, running: change.running, limit: change.new };
  const more = change.new > change.old ? t("preview_more", { count: change.new - Math.max(change.old, change.running) }) : change.new === 0 ? t("preview_stop", values) : change.running >= change.new ? t("preview_fewer", values) : "";
  return h("li", {}, h("strong", {}, t("preview_limit", values)), more ? h("span", { class: "block small" }, more) : null);
}

/** Over all GPUs together, where there are several. */
function totals(changes) {
  const lines = ["training", "inference"].map((kind) => {
    if (!changes.some((change) => change.kind === kind && change.device.kind === "cuda")) return null;
    const gpus = state.resources.devices.filter((device) => device.kind === "cuda");
    if (gpus.length < 2) return null;
    const sum = (value) => gpus.reduce((total, device) => total + value(device), 0);
    const after = (device) => changes.find((change) => change.device === device && change.kind === kind)?.new ?? device.limits[kind];
    return h("p", { class: "small" }, t("preview_total", { devices: gpus.length, kind: t(`kind_${kind}`), old: sum((device) => device.limits[kind]), new: sum(after) }));
  });
  return lines.filter(Boolean);
}

function shares(changes, wanted) {
  const devices = [...new Set(changes.map((change) => change.device))];
  const rows = devices.flatMap((device) => {
    const [before, after] = [partsOf(device, device.limits), partsOf(device, limitsAfter(device, wanted))];
    return kindsOf(device).map((kind) => {
      const [old, now] = [percent(before[kind], 1), percent(after[kind], 1)];
      return h("li", {}, `${t("preview_share_kind", { kind: t(`kind_${kind}`), device: device.device })}: `, old === now ? t("preview_shares_same", { part: now }) : t("preview_shares_change", { old, new: now }));
    });
  });
  return [h("h3", {}, t("preview_share")), h("ul", { class: "effects small" }, rows), h("p", { class: "quiet small" }, t("share_note"))];
}

/** Ask why the first of the line wait, and say which would find a place. */
async function showWaiting(view, place, wanted) {
  const queued = [...state.tasks.values()].filter((task) => task.status === "queued").sort((one, other) => (one.queue_position ?? Infinity) - (other.queue_position ?? Infinity)).slice(0, MOST_ASKED);
  if (!queued.length) return void fill(place, h("p", { class: "quiet small" }, t("preview_no_waiting")));
  const waiting = await Promise.all(queued.map(async (task) => ({ task, work: workOf(task), why: await api(`/api/v2/tasks/${encodeURIComponent(task.task_id)}/why`, { signal: view.signal }).catch(() => null) })));
  if (!place.isConnected) return undefined;
  const found = whoWouldStart(waiting.filter((each) => each.why), state.resources.devices, wanted);
  const name = (task) => h("a", { href: `#/tasks/${encodeURIComponent(task.task_id)}` }, task.name || task.task_id.slice(0, 8));
  const line = ({ task, why, device }) => h("li", {}, h("span", { "aria-hidden": "true" }, device ? "▶ " : "◷ "), sentence(t(device ? "preview_starts" : "preview_still", { task: "\u0000", device, reason: why.message }), name(task)));
  return void fill(place, h("ul", { class: "effects" }, found.map(line)), found.some((each) => each.device) ? h("p", { class: "quiet small" }, t("preview_first")) : null);
}

/** A sentence with an element where the text has a mark. */
function sentence(text, element) {
  const [before, after] = text.split("\u0000");
  return [before, element, after];
}

function workOf(task) {
  if (task.task_type === "training") return "training";
  return task.task_type === "inference" || task.task_type === "evaluate" ? "inference" : "preprocessing";
}

function undo(view) {
  view.edited.clear();
  drawTable(view);
  fill(view.said);
  drawPreview(view);
}

async function save(view) {
  const wrong = wrongOnes(view);
  if (wrong.length) return wrong[0].input.focus();
  const patch = {};
  view.sent = new Map(view.edited);
  for (const [key, value] of view.sent) {
    const [device, kind] = key.split(" ");
    patch[device] = { ...patch[device], [kind]: value };
  }
  if (!Object.keys(patch).length) return undefined;
  view.save.disabled = true;
  fill(view.said, h("p", { class: "quiet", role: "status" }, t("saving")));
  try {
    await api("/api/v2/resources/config", { method: "POST", body: { max_concurrent: patch } });
    return await showSaved(view);
  } catch (error) {
    view.save.disabled = false;
    view.sent.clear();
    const isRight = error instanceof ApiError && error.status === 403;
    return fill(view.said, notice(isRight ? t("not_allowed", { reason: error.message }) : t("not_saved", { reason: explain(error) }), isRight ? "warn" : "bad"));
  }
}

async function showSaved(view) {
  const what = [...view.sent].map(([key, value]) => `${labelOf(key)} ${value}`).join(", ");
  // What was edited while the answer was on its way is neither saved nor given up.
  for (const [key, value] of view.sent) if (view.edited.get(key) === value) view.edited.delete(key);
  await look(view);
  if (view.signal.aborted) return;
  drawTable(view);
  fill(view.said, notice(t("saved", { what }), "good"));
  drawPreview(view);
  setTimeout(() => look(view), SECOND_LOOK_MS);
}

/** Read the resources now, without waiting for the stream. */
async function look(view) {
  const resources = view.signal.aborted ? null : await api("/api/v2/resources", { signal: view.signal }).catch(() => null);
  if (resources && !view.signal.aborted) state.takeResources(resources);
}
