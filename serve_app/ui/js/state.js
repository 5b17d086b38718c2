/**
 * What the page knows of the service, kept fresh by one stream of events: the newest tasks, the resources, the models' revision.
 *
 * Views subscribe and are told at most once a frame. A break of the stream changes nothing here; when it goes on, the service sends what
 * changed meanwhile, or says "reset", and then the lists are read anew.
 */
import { api } from "./api.js";
import { follow } from "./live.js";

/** As many of the newest tasks as one page of the list may hold. */
const MOST_TASKS = 1000;
const PAUSE_MS = 2000;
/** A stream that does not open so soon must not keep the first view waiting. */
const LONGEST_OPENING_MS = 1000;

/** @type {Map<string, Object>} the newest tasks by id, as TaskResponse */
export const tasks = new Map();
/** The resources as ResourceResponse, or null before the first answer. */
export let resources = null;
/** Where the tasks before those begin, for GET /api/v2/tasks; null where there are none. */
export let olderCursor = null;
/** "connecting", "live" or "reconnecting". */
export let connection = "connecting";

const listeners = { tasks: new Set(), resources: new Set(), models: new Set(), connection: new Set() };
let known = null;
let following = null;

/**
 * Be told of changes until the signal ends it.
 * @param {"tasks"|"resources"|"models"|"connection"} what
 * @param {() => void} listener
 */
export function subscribe(what, listener, signal) {
  listeners[what].add(listener);
  signal?.addEventListener("abort", () => listeners[what].delete(listener));
}

/** Once the first list of tasks and the resources are there. Reading them begins with the first call. */
export function ready() {
  known ??= begin().catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

/** Tasks, newest first. */
export function newestFirst() {
  return [...tasks.values()].sort((one, other) => (one.created_at < other.created_at ? 1 : one.created_at > other.created_at ? -1 : 0));
}

/** Take in a task that an answer brought, before the stream tells of it. */
export function takeTask(task) {
  const old = tasks.get(task.task_id);
  if (old && old.updated_at > task.updated_at) return;
  tasks.set(task.task_id, task);
  tell("tasks");
}

/** Take in resources that were read after a change, before the stream tells of it. */
export function takeResources(view) {
  resources = view;
  tell("resources");
}

/** Forget a task that was deleted. */
export function dropTask(taskId) {
  if (tasks.delete(taskId)) tell("tasks");
}

async function begin() {
  following ??= followEvents();
  await following; // what changes after the list was read comes by the stream
  await readAll();
}

/** Follow the events for as long as the page is there; gives back once the stream is open, or has been tried. */
function followEvents() {
  return new Promise((resolve) => {
    setTimeout(resolve, LONGEST_OPENING_MS);
    const onState = (state) => {
      setConnection(state);
      resolve();
    };
    follow("/api/v2/events", { onData: takeEvent, onState, signal: new AbortController().signal }).catch((error) => {
      onState("reconnecting");
      console.warn("the events of the service cannot be followed:", error.message);
    });
  });
}

/** Read the lists anew until that succeeds: a page that goes on with old ones would show what is not so. */
async function readAllAgain() {
  for (;;) {
    try {
      return await readAll();
    } catch (error) {
      console.warn("the lists cannot be read now:", error.message);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

async function readAll() {
  const [list, view] = await Promise.all([api("/api/v2/tasks", { query: { limit: MOST_TASKS } }), api("/api/v2/resources")]);
  const found = [...list.training_tasks, ...list.inference_tasks, ...list.preprocessing_tasks];
  const ids = new Set(found.map((task) => task.task_id));
  for (const id of tasks.keys()) if (!ids.has(id)) tasks.delete(id);
  for (const task of found) {
    const old = tasks.get(task.task_id);
    if (!old || old.updated_at <= task.updated_at) tasks.set(task.task_id, task);
  }
  resources = view;
  olderCursor = list.next_cursor;
  tell("tasks");
  tell("resources");
}

function takeEvent(event) {
  if (event.kind === "task") takeTask(event.task);
  else if (event.kind === "task_deleted") dropTask(event.task_id);
  else if (event.kind === "resources") {
    resources = event.resources;
    tell("resources");
  } else if (event.kind === "models") tell("models");
  else if (event.kind === "reset") {
    readAllAgain();
    tell("models");
  }
}

function setConnection(state) {
  if (state === connection) return;
  connection = state;
  tell("connection");
}

function tell(what) {
  for (const listener of [...listeners[what]]) listener();
}
