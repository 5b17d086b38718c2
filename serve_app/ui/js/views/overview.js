/** The overview: how the service is, what its devices do, who waits, how much gets done. */
import { ApiError, api, send } from "../api.js";
import { fill, h, keyed, onceAFrame, setText } from "../dom.js";
import { NONE, duration, instant, number, percent, secondsSince } from "../format.js";
import { translator } from "../i18n.js";
import { PARTS, createDevice, simulatedBadge, swatch, updateDevice } from "../parts/device_card.js";
import { endedChart } from "../parts/ended_chart.js";
import { poll } from "../parts/poll.js";
import { predictionMeter } from "../parts/prediction_meter.js";
import { isWaiting, taskKind, taskName } from "../parts/task_words.js";
import { whyWaits } from "../parts/why.js";
import * as state from "../state.js";
import { words } from "../words/overview.js";

const t = translator(words);
const HEALTH_MS = 5000;
const PROCESSOR_MS = 3000;
const PREDICTIONS_MS = 5000;
/** Durations on the page grow though nothing else changes. */
const CLOCK_MS = 1000;
const MOST_WAITING_SHOWN = 10;
const TONES = { healthy: "good", degraded: "warn", restarting: "warn", unhealthy: "bad", starting: "warn", not_deployed: "" };

export async function open({ root, signal }) {
  const page = build(root);
  const draw = onceAFrame(() => drawKnown(page), signal);
  const firsts = [
    state.ready(),
    poll(() => drawHealth(page), { everyMs: HEALTH_MS, signal, failed: (error) => drawNoHealth(page, error) }),
    poll(() => drawProcessor(page), { everyMs: PROCESSOR_MS, signal }),
  ];
  poll(() => drawPredictions(page, signal), { everyMs: PREDICTIONS_MS, signal });
  await Promise.all(firsts);
  if (signal.aborted) return;
  drawKnown(page);
  state.subscribe("tasks", draw, signal);
  state.subscribe("resources", draw, signal);
  const clock = setInterval(draw, CLOCK_MS);
  signal.addEventListener("abort", () => clearInterval(clock));
}

function build(root) {
  const page = {
    health: tile(t("health")), running: tile(t("running_now")), waiting: tile(t("waiting_now")),
    predictions: tile(t("predictions")), processor: tile(t("processor")),
    simulated: h("span", { class: "row" }),
    devices: h("ul", { class: "grid devices" }),
    line: h("div", { class: "stack" }),
    components: h("tbody"),
    ended: endedChart(),
    meter: predictionMeter(),
  };
  const tiles = [page.health, page.running, page.waiting, page.predictions, page.processor];
  const legend = h("ul", { class: "legend small", "aria-label": t("legend") }, PARTS.map((part) => h("li", {}, swatch(part), t(part))));
  const heads = [t("part"), t("status"), t("since"), t("answers_in"), t("detail")].map((text) => h("th", { scope: "col" }, text));
  const components = h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": t("components") },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), page.components));
  fill(root,
    h("div", { class: "view-head" }, h("h1", {}, t("overview")), page.simulated),
    h("dl", { class: "tiles" }, tiles.map((each) => each.whole)),
    h("section", { class: "stack", "aria-labelledby": "devices" }, h("div", { class: "spread" }, h("h2", { id: "devices" }, t("devices")), legend), page.devices),
    h("div", { class: "grid" },
      section("line", t("line"), page.line),
      section("ended", t("throughput"), page.ended.element)),
    section("parts", t("components"), components));
  return page;
}

function section(id, title, ...content) {
  return h("section", { class: "card stack", "aria-labelledby": id }, h("h2", { id }, title), content);
}

function tile(title) {
  const value = h("dd", { class: "tile-value number" }, NONE);
  const detail = h("dd", { class: "quiet small" });
  return { whole: h("div", { class: "card tile" }, h("dt", { class: "quiet small" }, title), value, detail), value, detail };
}

/** What the stream of events keeps fresh. */
function drawKnown(page) {
  if (!state.resources) return;
  const all = [...state.tasks.values()];
  const { devices, gpu_info: gpus, queue } = state.resources;
  const running = all.filter((task) => task.status === "running").length;
  const rows = devices.map((device) => ({ device, gpu: gpus.devices.find((gpu) => gpu.device_name === device.device) }));
  setText(page.running.value, number(running));
  setText(page.waiting.value, number(queue.length));
  setText(page.waiting.detail, queue.length ? t("oldest_waits", { time: duration(queue.oldest_wait_s) }) : t("nobody_waits"));
  setText(page.running.detail, t("of_the_last_day", { ended: number(page.ended.update(all)) }));
  if (devices.some((device) => device.simulated) !== page.simulated.hasChildNodes()) fill(page.simulated, page.simulated.hasChildNodes() ? null : simulatedBadge());
  keyed(page.devices, rows, { key: (row) => row.device.device, create: createDevice, update: updateDevice });
  drawLine(page, all);
}

function drawLine(page, all) {
  const waiting = all.filter(isWaiting).sort((one, other) => (one.queue_position ?? Infinity) - (other.queue_position ?? Infinity));
  if (!waiting.length) {
    if (!page.line.querySelector(".line-empty")) fill(page.line, h("p", { class: "quiet line-empty" }, t("line_empty")));
    return;
  }
  let list = page.line.querySelector("ol");
  if (!list) {
    list = h("ol", { class: "holders line" });
    fill(page.line, list, h("a", { href: "#/tasks?status=queued", class: "small" }));
  }
  keyed(list, waiting.slice(0, MOST_WAITING_SHOWN), { key: (task) => task.task_id, create: createWaiting, update: updateWaiting });
  const more = waiting.length - MOST_WAITING_SHOWN;
  setText(page.line.querySelector(":scope > a"), more > 0 ? t("and_more", { count: number(more) }) : t("all_tasks"));
}

function createWaiting(task) {
  const parts = {
    place: h("span", { class: "badge number" }), name: h("a", {}), text: h("span", { class: "quiet small number" }), why: whyWaits(task.task_id),
  };
  const element = h("li", { class: "stack" }, h("div", { class: "spread" }, h("span", { class: "row" }, parts.place, parts.name), parts.text), parts.why.element);
  element.parts = parts;
  return element;
}

function updateWaiting(element, task) {
  const { parts } = element;
  setText(parts.place, task.queue_position ? `#${task.queue_position}` : NONE);
  parts.name.href = `#/tasks/${encodeURIComponent(task.task_id)}`;
  setText(parts.name, taskName(task));
  setText(parts.text, [taskKind(task), task.device, `${t("priority")} ${task.priority}`, duration(secondsSince(task.created_at))].join(" · "));
  parts.why.refresh();
}

async function drawHealth(page) {
  const health = await api("/api/v1/health");
  setText(page.health.value, t(health.status));
  page.health.value.dataset.tone = TONES[health.status] ?? "";
  setText(page.health.detail, t(`${health.status}_text`));
  const rows = Object.entries(health.components).map(([name, part]) => ({ name, ...part }));
  keyed(page.components, rows, { key: (row) => row.name, create: createComponent, update: updateComponent });
}

function drawNoHealth(page, error) {
  if (!(error instanceof ApiError)) throw error;
  setText(page.health.value, t("unknown_health"));
  page.health.value.dataset.tone = "bad";
  setText(page.health.detail, t("unreachable"));
}

function createComponent(row) {
  const parts = { state: h("span", { class: "badge" }), since: h("td"), latency: h("td", { class: "number" }), detail: h("td", { class: "break" }) };
  const name = ["accountant", "supervisor", "log_hub", "predictor", "store", "ingress", "watchdog"].includes(row.name) ? t(row.name) : row.name;
  const element = h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, parts.state), parts.since, parts.latency, parts.detail);
  element.parts = parts;
  return element;
}

function updateComponent({ parts }, row) {
  setText(parts.state, t(row.state));
  parts.state.dataset.tone = TONES[row.state] ?? "";
  setText(parts.since, instant(row.since));
  setText(parts.latency, row.latency_ms === undefined ? NONE : t("milliseconds", { value: number(row.latency_ms, 1) }));
  setText(parts.detail, row.detail || (row.since ? "" : t("key_hides_more")));
}

async function drawProcessor(page) {
  const cpu = await api("/api/v2/resources/cpu");
  setText(page.processor.value, percent(cpu.percent / 100));
  const values = { cores: cpu.cores, load: number(cpu.load_avg["1"], 1), memory: percent(cpu.memory_percent / 100) };
  setText(page.processor.detail, t("processor_detail", values));
}

async function drawPredictions(page, signal) {
  try {
    const figures = page.meter.take(await (await send("/metrics", { headers: { Accept: "text/plain" }, signal })).text());
    setText(page.predictions.value, figures.perSecond === null ? NONE : number(figures.perSecond, 1));
    setText(page.predictions.detail, t("predictions_total", { count: number(figures.total) }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) setText(page.predictions.detail, t("predictions_hidden"));
    throw error;
  }
}
