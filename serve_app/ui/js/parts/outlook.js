/** What would become of a request if it were sent now: asked of the service while the form is filled in, without submitting anything. */
import { ApiError, api } from "../api.js";
import { fill, h } from "../dom.js";
import { NONE, duration, gigabytes, instant } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { resources } from "../state.js";
import { explain } from "./notices.js";
import { facts } from "./small.js";

const t = translator(words);
const PAUSE_MS = 350;

/**
 * The panel that says it.
 * @param {{onFaults: (faults: Array<{path: string, text: string}>) => void, signal: AbortSignal}} viewer `onFaults` is told what the service finds
 * @returns {{element: HTMLElement, ask: (taskType: string, request: Object) => void, wait: (text: string) => void, stop: () => void}} `stop` ends
 *   what is being asked: nothing is told of it any more
 */
export function outlookPanel({ onFaults, signal }) {
  const body = h("div", { class: "stack", role: "status" });
  const element = h("section", { class: "card stack outlook", "aria-label": t("outlook") }, h("h2", {}, t("outlook")), body);
  let timer = null;
  let asking = new AbortController();
  const stop = () => {
    clearTimeout(timer);
    asking.abort();
  };
  signal.addEventListener("abort", stop);
  const wait = (text) => {
    stop();
    element.dataset.state = "open";
    fill(body, h("p", { class: "quiet" }, text));
  };
  const ask = (taskType, request) => {
    stop();
    asking = new AbortController();
    timer = setTimeout(() => askNow(element, body, { taskType, request, onFaults, signal: asking.signal }), PAUSE_MS);
  };
  wait(t("outlook_waiting"));
  return { element, ask, wait, stop };
}

async function askNow(element, body, { taskType, request, onFaults, signal }) {
  try {
    const answer = await api("/api/v2/tasks/explain", { method: "POST", body: { task_type: taskType, request }, signal });
    if (signal.aborted) return;
    element.dataset.state = answer.would_start ? "good" : "wait";
    fill(body, ...outlookOf(answer, request));
    onFaults([]);
  } catch (error) {
    if (signal.aborted) return;
    const faults = faultsOf(error);
    element.dataset.state = faults.length ? "bad" : "open";
    const told = faults.length ? [h("p", {}, t("outlook_faults")), h("ul", { class: "faults" }, faults.map((fault) => h("li", {}, fault.text)))] : [h("p", {}, t("outlook_failed", { reason: explain(error) }))];
    fill(body, ...told);
    onFaults(faults);
  }
}

/**
 * What an error says of fields, as paths inside the request: "batch_size", "recipe.nfft".
 * @returns {Array<{path: string, text: string}>} empty where it says nothing of a field
 */
export function faultsOf(error) {
  if (!(error instanceof ApiError)) return [];
  if (error.fields.length) return error.fields.map((each) => ({ path: pathOf(each.loc), text: t("service_says", { text: each.msg.replace(/^Value error, /, "") }) }));
  // Faults of paths come as one sentence that begins with the field's name.
  const named = /^([a-z_]+(?:\.\d+)?): ./.exec(error.message);
  return named ? [{ path: named[1].replace(/\.\d+$/, ""), text: t("service_says", { text: error.message.slice(error.message.indexOf(": ") + 2) }) }] : [];
}

function pathOf(loc) {
  const parts = loc[0] === "body" ? loc.slice(1) : loc;
  const inside = parts[1] === "request" ? parts.slice(2) : parts;
  // A list's member is told at the list.
  return inside.filter((part, index) => index === 0 || typeof part === "string").filter((part) => !/^(function|literal|int|float|str|bool|constrained|Recipe|Radio|tuple|list)/.test(part)).join(".");
}

function outlookOf(answer, request) {
  const pairs = [[t("outlook_where"), answer.devices.join(", ") || NONE]];
  if (!answer.would_start) pairs.push(...waitFacts(answer));
  pairs.push([t("outlook_memory"), memoryText(answer, request)]);
  const headline = h("p", { class: "outlook-head" }, h("span", { "aria-hidden": "true" }, answer.would_start ? "✓ " : "◷ "), t(answer.would_start ? "outlook_now" : "outlook_wait"));
  return [headline, answer.would_start ? null : h("p", {}, answer.message), facts(pairs), answer.held_by.length ? heldBy(answer.held_by) : null].filter(Boolean);
}

function waitFacts(answer) {
  const pairs = [];
  if (answer.missing) pairs.push([t("outlook_missing"), t(`missing_${answer.missing}`)]);
  if (answer.remedy) pairs.push([t("outlook_remedy"), answer.remedy]);
  pairs.push([t("outlook_line"), t("outlook_place", { position: answer.position ?? NONE, length: answer.line_length ?? 0 })]);
  const wait = answer.estimated_wait_s;
  pairs.push([t("outlook_wait_time"), wait === null ? t("outlook_wait_unknown") : duration(wait)]);
  return pairs;
}

/** Whether memory suffices, and how much the devices have; a processor's tasks have no budget. */
function memoryText(answer, request) {
  if (answer.devices.every((device) => device.startsWith("cpu"))) return t("outlook_memory_main");
  const said = t(answer.would_start ? "outlook_memory_ok" : answer.missing === "memory" ? "outlook_memory_bad" : "outlook_memory_later");
  const lines = answer.devices.map((device) => freeText(device)).filter(Boolean).map((text) => h("span", { class: "small quiet block" }, text));
  const budget = request.gpu_memory_gb ? ` (${gigabytes(request.gpu_memory_gb)})` : "";
  return [h("span", {}, said + budget), ...lines];
}

function freeText(device) {
  const found = resources?.devices.find((each) => each.device === device);
  const info = resources?.gpu_memory_info[`GPU_${device.split(":")[1]}`];
  if (!found || !info) return "";
  return t("outlook_free", { device, free: gigabytes(info.free_gb), total: gigabytes(info.total_gb) });
}

function heldBy(holders) {
  const text = (each) => t("holder", { type: t(each.type), device: each.device, memory: gigabytes(each.memory_gb) });
  const until = (each) => (each.expected_end_at ? ` · ${t("holder_until", { time: instant(each.expected_end_at) })}` : "");
  return h("div", {}, h("h3", {}, t("outlook_held")), h("ul", { class: "holders" }, holders.map((each) => h("li", {},
    h("a", { href: `#/tasks/${encodeURIComponent(each.task_id)}`, class: "mono" }, each.task_id.slice(0, 8)), ` ${text(each)}${until(each)}`))));
}
