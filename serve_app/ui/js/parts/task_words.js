/** How tasks are told of: names, kinds, time left. */
import { NONE, duration, secondsSince } from "../format.js";
import { translator } from "../i18n.js";
import { words } from "../words/task_parts.js";
import { ENDED } from "./small.js";

const t = translator(words);
const PREPROCESSING = new Set(["dataset_split", "data_augmentation", "image_crop", "spectrogram"]);
/** Below so many percent, the time before the first batch counts too much in what is foreseen. */
const LEAST_PERCENT = 3;

/** The name that its maker gave, else the beginning of its id. */
export function taskName(task) {
  return task.name || task.task_id.slice(0, 8);
}

export function taskKind(task) {
  return t(task.task_type);
}

/** training, inference or preprocessing: which part of a device's bar it takes. */
export function partOfTask(task) {
  if (PREPROCESSING.has(task.task_type)) return "preprocessing";
  return task.task_type === "training" ? "training" : "inference";
}

export function isWaiting(task) {
  return task.status === "pending" || task.status === "queued";
}

/** Seconds that a running task may still need, from its pace so far; null where that says nothing yet. */
export function secondsLeft(task) {
  if (task.status !== "running" || !task.started_at || task.progress < LEAST_PERCENT) return null;
  return (secondsSince(task.started_at) * (100 - task.progress)) / task.progress;
}

/** The time left as words, and what those mean. */
export function timeLeft(task) {
  const seconds = secondsLeft(task);
  if (seconds !== null) return { text: t("left", { time: duration(seconds) }), title: t("left_title") };
  if (task.status === "running") return { text: NONE, title: t("left_unknown") };
  return { text: "", title: "" };
}

/** How far it is: the epoch of a training, else what it says of itself. */
export function stepText(task) {
  if (task.status === "running" && task.current_epoch && task.total_epochs) {
    return t("epoch_of", { epoch: task.current_epoch, total: task.total_epochs });
  }
  return "";
}

/** How long it ran, or runs; null before it began. */
export function secondsRun(task) {
  if (!task.started_at) return null;
  return task.finished_at ? (Date.parse(task.finished_at) - Date.parse(task.started_at)) / 1000 : secondsSince(task.started_at);
}

/** Whether nothing more will happen to it. */
export function hasEnded(task) {
  return ENDED.has(task.status);
}
