/**
 * What the page knows of the service, kept fresh by one stream of events: the newest tasks, the resources, the models' revision.
 *
 * A break of the stream changes nothing here; when it goes on, the service sends what changed meanwhile, or says "reset", and then the lists
 * are read anew. The stream is in order: what it tells last of a task is so, whatever a list that was asked for before says.
 */
import { ApiError, api, onKey } from "./api.js";
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
/** "connecting", "live", "reconnecting", or "stopped" where the service refuses the stream. */
export let connection = "connecting";

const listeners = { tasks: new Set(), deleted: new Set(), resources: new Set(), models: new Set(), connection: new Set() };
let known = null;
let isFollowing = false;
/** Settled once the stream has said where it begins, or cannot be had, or keeps everybody waiting for too long. */
const opened = Promise.withResolvers();
/** Reads of the lists go one after the other: the last to be asked for is the last to be taken in. */
let lastRead = Promise.resolve();
let hasBegunToRead = false;
/** Events that arrived while lists are read, to be taken in again after them; null while none are read. */
let arrived = null;
let isStale = false;
let refreshing = null;

/**
 * Be told of changes until the signal ends it.
 * @param {"tasks"|"deleted"|"resources"|"models"|"connection"} what
 * @param {(taskId?: string) => void} listener is given a task's id with "deleted"
 */
export function subscribe(what, listener, signal) {
  listeners[what].add(listener);
  signal?.addEventListener("abort", () => listeners[what].delete(listener));
}

/** Follow the events from now on, unless that is so already; a refused stream is tried again with each call, and with each key. */
export function connect() {
  setTimeout(opened.resolve, LONGEST_OPENING_MS);
  onKey(keepFollowing);
  keepFollowing();
}

/** Once the first list of tasks and the resources are there. Reading them begins with the first call. */
export function ready() {
  keepFollowing();
  known ??= begin().catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

/** The tasks that are known here, and others that are not, newest first. */
export function newestFirst(others = []) {
  return [...tasks.values(), ...others].sort((one, other) => (one.created_at < other.created_at ? 1 : one.created_at > other.created_at ? -1 : 0));
}

/** Take in a task that an answer brought, unless the stream has told of it already: what it tells is newer. */
export function takeTask(task) {
  if (tasks.has(task.task_id)) return;
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
  takeEvent({ kind: "task_deleted", task_id: taskId });
}

async function begin() {
  await opened.promise; // what changes after the list was read comes by the stream
  await readLists();
}

/** Follow the events until the service refuses them. */
async function keepFollowing() {
  if (isFollowing) return;
  isFollowing = true;
  try {
    await follow("/api/v2/events", { onData: takeEvent, onState: setConnection, onBegin: takeBegin, signal: new AbortController().signal });
  } catch (error) {
    setConnection("stopped");
    opened.resolve();
    console.warn("the events of the service cannot be followed:", error.message);
  } finally {
    isFollowing = false;
  }
}

/** The stream tells of everything from here on; a list that was asked for before may lack what happened between. */
function takeBegin() {
  opened.resolve();
  if (hasBegunToRead) refresh();
}

/** Read the lists anew until that succeeds: a page that goes on with old ones would show what is not so. */
function refresh() {
  isStale = true;
  refreshing ??= readUntilFresh().finally(() => {
    refreshing = null;
  });
}

async function readUntilFresh() {
  while (isStale) {
    isStale = false;
    try {
      await readLists();
    } catch (error) {
      console.warn("the lists cannot be read now:", error.message);
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return; // the next key begins anew
      isStale = true;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function readLists() {
  hasBegunToRead = true;
  lastRead = lastRead.catch(() => {}).then(readOnce);
  return lastRead;
}

async function readOnce() {
  arrived = [];
  try {
    const [list, view] = await Promise.all([api("/api/v2/tasks", { query: { limit: MOST_TASKS } }), api("/api/v2/resources")]);
    takeList(list);
    resources = view;
  } finally {
    const events = arrived;
    arrived = null;
    events.forEach(apply);
  }
  tell("tasks");
  tell("resources");
}

/** Take in the newest tasks; those before them are not in the list, and stay as they are known. */
function takeList(list) {
  const found = [...list.training_tasks, ...list.inference_tasks, ...list.preprocessing_tasks];
  const ids = new Set(found.map((task) => task.task_id));
  const oldest = list.next_cursor ? found.reduce((least, task) => (task.created_at < least ? task.created_at : least), found[0]?.created_at) : "";
  for (const [id, task] of tasks) if (!ids.has(id) && task.created_at > oldest) tasks.delete(id);
  for (const task of found) tasks.set(task.task_id, task);
  olderCursor = list.next_cursor;
}

export function takeEvent(event) {
  if (event.kind === "reset") {
    refresh();
    tell("models");
    return;
  }
  arrived?.push(event);
  apply(event);
}

function apply(event) {
  if (event.kind === "task") {
    tasks.set(event.task.task_id, event.task);
    tell("tasks");
  } else if (event.kind === "task_deleted") {
    tasks.delete(event.task_id);
    tell("deleted", event.task_id);
    tell("tasks");
  } else if (event.kind === "resources") {
    takeResources(event.resources);
  } else if (event.kind === "models") {
    tell("models");
  }
}

function setConnection(state) {
  if (state === connection) return;
  connection = state;
  tell("connection");
}

function tell(what, taskId) {
  for (const listener of [...listeners[what]]) listener(taskId);
}
