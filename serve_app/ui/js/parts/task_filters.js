/** The filters above the list of tasks: what is chosen stands in the address, so that a view can be kept and sent to others. */
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/tasks.js";
import { isWaiting, taskName } from "./task_words.js";

const t = translator(words);
const STATES = ["pending", "queued", "running", "completed", "failed", "cancelled"];
const TYPES = ["training", "inference", "evaluate", "dataset_split", "data_augmentation", "image_crop", "spectrogram"];

/**
 * The filters, set as the address says.
 * @param {URLSearchParams} query
 * @param {() => void} changed is called with every change by the visitor
 */
export function createFilters(query, changed) {
  const search = h("input", { type: "search", id: "filter-q", placeholder: t("search_hint"), value: query.get("q") ?? "", oninput: changed });
  const status = choice("filter-status", [["waiting", t("status_waiting")], ...STATES.map((name) => [name, t(name)])], query.get("status"), changed);
  const type = choice("filter-type", TYPES.map((name) => [name, t(name)]), query.get("type"), changed);
  const device = choice("filter-device", [], null, changed);
  let wantedDevice = query.get("device") ?? "";
  let batch = query.get("batch") ?? "";
  const clearBatch = () => {
    batch = "";
    chip.hidden = true;
    changed();
  };
  const chip = h("div", { class: "row", hidden: !batch }, h("span", { class: "badge break" }, t("of_batch", { id: batch })),
    h("button", { type: "button", class: "plain small", onclick: clearBatch }, t("all_batches")));

  function takeDevices(names) {
    const values = [...new Set([...names, wantedDevice])].filter(Boolean);
    if (values.join() === [...device.options].slice(1).map((option) => option.value).join()) return;
    const chosen = device.value || wantedDevice;
    fill(device, options(values.map((name) => [name, name])));
    device.value = chosen;
  }

  takeDevices([]);
  device.addEventListener("change", () => {
    wantedDevice = "";
  });
  return {
    element: h("form", { class: "filters", role: "search", "aria-label": t("filters"), onsubmit: (event) => event.preventDefault() },
      labelled(t("search"), search, "grow"), labelled(t("status"), status), labelled(t("type"), type), labelled(t("device"), device), chip),
    takeDevices,
    query: () => ({ q: search.value.trim(), status: status.value, type: type.value, device: device.value, batch }),
    apply: (tasks) => narrow(tasks, { text: search.value.trim().toLowerCase(), status: status.value, type: type.value, device: device.value, batch }),
    clear() {
      for (const field of [search, status, type, device]) field.value = "";
      clearBatch();
    },
  };
}

function narrow(tasks, { text, status, type, device, batch }) {
  const found = tasks.filter((task) =>
    (!status || (status === "waiting" ? isWaiting(task) : task.status === status))
    && (!batch || task.batch_id === batch)
    && (!type || task.task_type === type)
    && (!device || (task.lease?.device ?? task.device) === device)
    && (!text || searched(task).includes(text)));
  if (status === "queued" || status === "waiting") found.sort((one, other) => (one.queue_position ?? Infinity) - (other.queue_position ?? Infinity));
  return found;
}

function searched(task) {
  return [taskName(task), task.task_id, task.batch_id, task.model, task.output_path, task.description].join("\n").toLowerCase();
}

function choice(id, pairs, value, changed) {
  const select = h("select", { id, onchange: changed }, options(pairs));
  select.value = pairs.some(([name]) => name === value) ? value : "";
  return select;
}

function options(pairs) {
  return [h("option", { value: "" }, t("all")), pairs.map(([value, text]) => h("option", { value }, text))];
}

function labelled(text, field, kind = "") {
  return h("div", { class: `field ${kind}` }, h("label", { for: field.id }, text), field);
}
