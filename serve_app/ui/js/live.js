/**
 * Server-sent events over fetch, which can carry a key, and go on where they were after any break.
 *
 * EventSource could not send the key, and starts anew where a service answers with an error while it comes up.
 */
import { ApiError, enterKey, keyHeaders } from "./api.js";
import { readKey } from "./memory.js";
import { pause, untilSeen, whenHiddenFor } from "./pause.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;
/** The service says something at least every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 25000;
/** A browser gives a host six connections for all its tabs together; one that nobody sees gives its own back, but not for a short look elsewhere. */
const HIDDEN_MS = 5000;

/**
 * Follow a stream until it says that it is over, or the signal ends it. While the tab is hidden it rests, and goes on where it was.
 * @param {string} path
 * @param {{onData: (record: any, id: string) => boolean|void, onState?: (state: "live"|"reconnecting") => void, onBegin?: () => void, after?: string, signal: AbortSignal}} viewer
 *   `onData` gives true with the record that ends the stream; then nothing is connected again. `onBegin` is called when a connection that
 *   could name no position gets its first one: what happened before it was not told
 * @throws {ApiError} the service refuses the stream for good: no such task, no right to it
 */
export async function follow(path, { onData, onState = () => {}, onBegin = () => {}, after = "", signal }) {
  let lastId = after;
  let rest = FIRST_PAUSE_MS;
  const onEvent = (record, id) => {
    rest = FIRST_PAUSE_MS;
    if (id && !lastId) onBegin();
    if (id) lastId = id;
    return onData(record, id);
  };
  for (;;) {
    await untilSeen(signal);
    if (signal.aborted) return;
    const key = readKey();
    try {
      if (await readOnce(path, lastId, signal, onEvent, () => onState("live"))) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && isFinal(error) && !(error.status === 401 && (await enterKey(key)))) throw error;
    }
    if (signal.aborted) return;
    if (document.hidden) continue;
    onState("reconnecting");
    await pause(rest * (0.75 + Math.random() / 2), signal);
    rest = Math.min(rest * 2, LONGEST_PAUSE_MS);
  }
}

/** Split the text of a stream into events. Exported for the tests of the page. */
export function createParser(onEvent) {
  let rest = "";
  return (chunk) => {
    rest += chunk;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = readBlock(block);
      if (event.data && onEvent(JSON.parse(event.data), event.id)) return true;
    }
    return false;
  };
}

async function readOnce(path, lastId, signal, onEvent, onOpen) {
  const ending = new AbortController();
  const end = () => ending.abort();
  signal.addEventListener("abort", end);
  const unwatch = whenHiddenFor(HIDDEN_MS, end);
  let watch = setTimeout(end, SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream", ...keyHeaders(), ...(lastId ? { "Last-Event-ID": lastId } : {}) };
    const answer = await fetch(path, { headers, signal: ending.signal, cache: "no-store" });
    if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
    onOpen();
    const take = createParser(onEvent);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(watch);
      watch = setTimeout(end, SILENCE_MS);
      if (take(value)) return true;
    }
  } finally {
    clearTimeout(watch);
    unwatch();
    signal.removeEventListener("abort", end);
    ending.abort();
  }
}

function readBlock(block) {
  const event = { id: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) event.data += line.slice(5).trimStart();
    else if (line.startsWith("id:")) event.id = line.slice(3).trim();
  }
  return event;
}

/** Asking again would lead to the same: a client's error, but not "too many" or "not now". */
function isFinal(error) {
  return error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;
}
