/** One device: who holds how much of its compute and of its memory, and which replicas it serves with. */
import { fill, h, keyed, setText } from "../dom.js";
import { duration, gigabytes, number, percent, secondsSince } from "../format.js";
import { translator } from "../i18n.js";
import { tasks } from "../state.js";
import { words } from "../words/overview.js";
import { taskKind, taskName } from "./task_words.js";

const t = translator(words);
/** In this order from left to right, so that bars of devices can be compared. */
export const PARTS = ["training", "inference", "preprocessing", "serving", "foreign", "free"];

/** An empty card; `updateDevice` fills it. */
export function createDevice() {
  const parts = {
    name: h("h3", { class: "mono" }),
    badges: h("span", { class: "row" }),
    subtitle: h("p", { class: "quiet small break" }),
    notices: h("div", { class: "stack" }),
    compute: bar(t("compute")),
    memory: bar(t("memory")),
    holders: h("ul", { class: "holders" }),
    foot: h("p", { class: "quiet small number" }),
  };
  const head = h("div", { class: "spread" }, parts.name, parts.badges);
  const card = h("li", { class: "card stack device" }, h("div", {}, head, parts.subtitle), parts.notices, parts.compute.whole,
    parts.memory.whole, parts.holders, parts.foot);
  card.parts = parts;
  return card;
}

/** Show a device as it is now; `gpu` is its entry of gpu_info, undefined for a processor. */
export function updateDevice(card, { device, gpu }) {
  const { parts } = card;
  setText(parts.name, device.device);
  setText(parts.subtitle, device.name + (device.cores ? ` · ${t("cores", { count: device.cores })}` : ""));
  fill(parts.badges, device.simulated && simulatedBadge(), !device.present && h("span", { class: "badge", dataset: { tone: "bad" } }, t("absent")));
  fill(parts.notices, device.quarantine && h("p", { class: "notice small", dataset: { tone: "warn" } }, t("quarantine", { reason: device.quarantine })));
  const compute = computeParts(device);
  updateBar(parts.compute, compute, t("free_of", { free: percent(device.free), share: percent(device.share) }), {
    label: "compute_label", device: device.device, say: (value) => percent(value),
  });
  const memory = memoryParts(device);
  const budget = device.memory_gb - memory.free - memory.foreign;
  const values = { used: number(gpu?.allocated_memory_gb, 1), budget: number(budget, 1), total: gigabytes(device.memory_gb) };
  updateBar(parts.memory, memory, t(gpu ? "memory_text" : "memory_text_unmeasured", values), {
    label: "memory_label", device: device.device, say: gigabytes,
  });
  const rows = holderRows(device);
  keyed(parts.holders, rows.length ? rows : [{ key: "nothing" }], { key: (row) => row.key, create: createHolder, update: updateHolder });
  setText(parts.foot, footText(device, gpu));
}

export function simulatedBadge() {
  return h("span", { class: "badge simulated", dataset: { tone: "warn" }, title: t("simulated_title") }, t("simulated"));
}

/** A square of a part's colour. */
export function swatch(part) {
  return h("span", { class: "swatch", dataset: { part }, "aria-hidden": "true" });
}

function bar(title) {
  const text = h("span", { class: "quiet small number" });
  const spans = Object.fromEntries(PARTS.map((part) => [part, h("span", { dataset: { part } })]));
  const meter = h("div", { class: "meter", role: "img" }, Object.values(spans));
  return { whole: h("div", {}, h("div", { class: "spread" }, h("span", { class: "small label" }, title), text), meter), text, spans, meter };
}

function updateBar(view, values, text, { label, device, say }) {
  const total = PARTS.reduce((sum, part) => sum + values[part], 0) || 1;
  for (const part of PARTS) {
    const width = `${(100 * values[part]) / total}%`;
    if (view.spans[part].style.width !== width) view.spans[part].style.width = width;
    view.spans[part].title = `${t(part)}: ${say(values[part])}`;
  }
  const said = PARTS.filter((part) => values[part] > 0).map((part) => `${t(part)} ${say(values[part])}`);
  view.meter.setAttribute("aria-label", t(label, { device, parts: said.join(", ") }));
  setText(view.text, text);
}

/** Fractions of the device; serving's part is kept for it, whether or not a replica uses it now. */
function computeParts(device) {
  const parts = { ...byKind(device, (lease) => lease.gpu_fraction), foreign: 0 };
  parts.serving = device.serving.max_replicas ? device.serving.gpu_fraction : 0;
  parts.free = Math.max(0, device.free);
  return parts;
}

/** Gigabytes: what leases and replicas may take, and what other programs do take. */
function memoryParts(device) {
  const parts = byKind(device, (lease) => lease.memory_gb);
  parts.serving = sum(device.serving.replicas, (replica) => replica.memory_budget_gb);
  parts.foreign = sum(device.foreign_processes, (process) => process.memory_gb);
  parts.free = Math.max(0, device.memory_gb - sum(Object.values(parts), (value) => value));
  return parts;
}

function byKind(device, measure) {
  const parts = { training: 0, inference: 0, preprocessing: 0 };
  for (const lease of device.leases) parts[lease.type in parts ? lease.type : "inference"] += measure(lease);
  return parts;
}

function sum(list, measure) {
  return list.reduce((total, each) => total + measure(each), 0);
}

/** Everyone who holds something: leases first, then replicas, then other programs. */
function holderRows(device) {
  return [
    ...device.leases.map((lease) => ({ key: lease.lease_id, lease })),
    ...device.serving.replicas.map((replica) => ({ key: `replica ${replica.id}`, replica })),
    ...device.foreign_processes.map((process) => ({ key: `process ${process.pid}`, process })),
  ];
}

function createHolder(row) {
  if (row.key === "nothing") return h("li", { class: "quiet small" }, t("no_work"));
  const parts = { name: row.lease ? h("a", {}) : h("span", {}), text: h("span", { class: "quiet small number" }) };
  const part = row.lease ? partOf(row.lease) : row.replica ? "serving" : "foreign";
  const element = h("li", { class: "spread" }, h("span", { class: "row" }, swatch(part), parts.name), parts.text);
  element.parts = parts;
  return element;
}

function updateHolder(element, row) {
  const { parts } = element;
  if (row.lease) updateLease(parts, row.lease);
  else if (row.replica) updateReplica(parts, row.replica);
  else if (row.process) {
    setText(parts.name, t("process", { pid: row.process.pid }));
    setText(parts.text, gigabytes(row.process.memory_gb));
  }
}

function updateLease(parts, lease) {
  const task = tasks.get(lease.task_id);
  parts.name.href = `#/tasks/${encodeURIComponent(lease.task_id)}`;
  setText(parts.name, task ? taskName(task) : lease.task_id.slice(0, 8));
  const kind = task ? taskKind(task) : t(lease.type);
  const progress = task ? `${task.progress} %` : null;
  const figures = [kind, percent(lease.gpu_fraction), gigabytes(lease.memory_gb), progress, duration(secondsSince(lease.granted_at))];
  setText(parts.text, figures.filter(Boolean).join(" · "));
}

function updateReplica(parts, replica) {
  setText(parts.name, t("replica", { id: replica.id }));
  const values = {
    models: replica.models.length, ongoing: replica.ongoing, memory: gigabytes(replica.memory_gb), budget: gigabytes(replica.memory_budget_gb),
  };
  setText(parts.text, `${t(replica.ready ? "replica_ready" : "replica_starting")} · ${t("replica_text", values)}`);
}

function partOf(lease) {
  return PARTS.includes(lease.type) ? lease.type : "inference";
}

function footText(device, gpu) {
  const limits = ["training", "inference", "preprocessing"]
    .filter((kind) => device.limits[kind] > 0)
    .map((kind) => t("limit_of", { kind: t(kind), used: device.usage[kind], most: device.limits[kind] }));
  if (gpu && !gpu.simulated) {
    limits.push(t("gpu_figures", { utilization: `${gpu.utilization} %`, temperature: Math.round(gpu.temperature_c), power: Math.round(gpu.power_w) }));
  }
  return limits.join(" · ");
}
