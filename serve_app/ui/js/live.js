/**
 * Server-sent events over fetch, which can carry a key, and go on where they were after any break.
 *
 * EventSource could not send the key, and starts anew where a service answers with an error while it comes up.
 */
import { ApiError, enterKey, keyHeaders } from "./api.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;
/** The service says something at least every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 25000;

/**
 * Follow a stream until it says that it is over, or the signal ends it.
 * @param {string} path
 * @param {{onData: (record: any, id: string) => boolean|void, onState?: (state: "live"|"reconnecting") => void, after?: string, signal: AbortSignal}} viewer
 *   `onData` gives true with the record that ends the stream; then nothing is connected again
 * @throws {ApiError} the service refuses the stream for good: no such task, no right to it
 */
export async function follow(path, { onData, onState = () => {}, after = "", signal }) {
  let lastId = after;
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      const isOver = await readOnce(path, lastId, signal, (record, id) => {
        pause = FIRST_PAUSE_MS;
        if (id) lastId = id;
        return onData(record, id);
      }, () => onState("live"));
      if (isOver) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && isFinal(error)) {
        if (error.status !== 401 || !(await enterKey())) throw error;
      }
    }
    if (signal.aborted) return;
    onState("reconnecting");
    await wait(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
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

function wait(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
