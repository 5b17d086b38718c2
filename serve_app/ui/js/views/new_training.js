/** A new training: choose the data, change what should be otherwise, see whether it would start, start it. */
import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { translator } from "../i18n.js";
import { notice, explain } from "../parts/notices.js";
import { showRequestForm } from "../parts/request_form.js";
import { valuesFrom } from "../parts/prefill.js";
import { words } from "../words/forms.js";

const t = translator(words);
const VALIDATION = ["valid", "val", "validation"];
const GROUPS = [
  { title: "group_data", fields: ["train_path", "val_path", "save_path", "num_classes", "name"] },
  { title: "group_training", fields: ["model", "num_epochs", "batch_size", "learning_rate", "image_size", "pretrained"] },
  { title: "group_run", fields: ["device", "priority", "description"] },
  { title: "group_recordings", isFolded: true, fields: ["recipe", "augmentation", "sample_rate", "center_frequency", "format"] },
  { title: "group_more", isFolded: true, fields: ["*"] },
];
const REQUEST = {
  kind: "training",
  schema: "TrainingRequest",
  path: "/api/v2/training/start",
  taskType: "training",
  method: "train",
  command: "train",
  groups: GROUPS,
  onPath: suggest,
};

export async function open({ root, query, signal }) {
  const place = h("div", {});
  const said = h("div", {});
  fill(root, h("div", { class: "view-head" }, h("h1", {}, t("new_training"))), h("p", { class: "quiet" }, t("training_text")), said, place);
  const values = { model: "resnet18", ...valuesFrom(query), ...(await copied(query.get("from"), said)) };
  if (signal.aborted) return;
  await showRequestForm(place, REQUEST, { values, signal }).catch((error) => fill(place, notice(t("failed_to_load", { reason: explain(error) }), "bad")));
}

/** The request of an earlier training, without what must be new. */
async function copied(taskId, said) {
  if (!taskId) return {};
  try {
    const { parameters } = await api("/api/v2/comparison", { query: { task: taskId } });
    const values = Object.fromEntries(Object.entries(parameters).map(([name, [value]]) => [name, value]).filter(([, value]) => value !== null && value !== ""));
    fill(said, notice(t("copied_from", { task: taskId })));
    return values;
  } catch (error) {
    fill(said, notice(t("copy_failed", { task: taskId, reason: explain(error) }), "warn"));
    return {};
  }
}

/** What follows from the training data is filled in, where nobody has entered anything. */
async function suggest(name, path, found, form) {
  if (name !== "train_path" || !found.classes) return;
  if (!form.isTouched("num_classes")) form.set("num_classes", found.classes);
  const [, above, last] = /^(.*?)\/?([^/]+)\/?$/.exec(path) ?? [];
  if (!above || !/^train/i.test(last)) return;
  if (!form.value("save_path")) form.set("save_path", `models/${above.split("/").pop()}`);
  if (form.value("val_path")) return;
  const beside = await validationBeside(above).catch(() => null);
  if (beside && !form.value("val_path")) form.set("val_path", beside);
}

async function validationBeside(folder) {
  const { entries } = await api("/api/v2/data", { query: { path: folder, limit: 1000 } });
  return entries.find((entry) => entry.kind === "folder" && VALIDATION.includes(entry.name.toLowerCase()))?.path;
}
