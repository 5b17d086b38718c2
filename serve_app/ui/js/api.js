/** Requests to the service: JSON in, JSON out, with the key where one is needed, and errors that say what the service said. */
import { readKey, keepKey } from "./memory.js";

export class ApiError extends Error {
  /** @param {number} status 0 where no answer came */
  constructor(status, body = {}) {
    super(body.message || `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    /** What the service says of single fields: [{field, message, value}], else empty. */
    this.fields = Array.isArray(body.detail) ? body.detail : [];
  }
}

let askForKey = async () => null;
let asking = null;
/** Whether the visitor was asked for a key and entered none; then only the visitor's own wish leads to asking again. */
let isRefused = false;
const keyListeners = new Set();

/** Name the function that asks the visitor for a key; it gives the key, or null where none was entered. */
export function whenKeyIsNeeded(ask) {
  askForKey = ask;
}

/** Be told, for as long as the page is there, when a key was entered or refused. */
export function onKey(listener) {
  keyListeners.add(listener);
}

/** Whether a key is needed that the visitor did not want to enter. */
export function isKeyRefused() {
  return isRefused;
}

/** The visitor tries again: whoever needs a key may ask for it again. */
export function allowAsking() {
  isRefused = false;
}

/** The headers that every request carries. */
export function keyHeaders() {
  const key = readKey();
  return key ? { "X-API-Key": key } : {};
}

/**
 * Ask the service.
 * @param {string} path from the root, such as "/api/v2/tasks"
 * @param {{method?: string, query?: Object<string, any>, body?: any, raw?: Blob|FormData|ArrayBuffer, headers?: Object<string, string>, signal?: AbortSignal}} [wish]
 *   `body` is sent as JSON, `raw` as it is; queries of null, undefined and "" are left out, arrays are repeated
 * @returns {Promise<any>} the JSON of the answer
 * @throws {ApiError}
 */
export async function api(path, wish = {}) {
  return (await send(path, wish)).json();
}

/** The same, with the whole answer (files, pictures, text). */
export async function send(path, { method = "GET", query, body, raw, headers = {}, signal } = {}) {
  const init = { method, signal, headers: { Accept: "application/json", ...headers }, cache: "no-store" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  } else if (raw !== undefined) {
    init.body = raw;
  }
  const key = readKey();
  let answer = await fetchWithKey(withQuery(path, query), init);
  if (answer.status === 401 && (await enterKey(key))) answer = await fetchWithKey(withQuery(path, query), init);
  if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

/** The path with its query. */
export function withQuery(path, query = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") pairs.append(name, each);
    }
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Ask for a key, once for all who need one now; a visitor who entered none is not asked again before `allowAsking`.
 * @param {string} tried the key that was not enough; another may have been entered since
 * @returns {Promise<boolean>} whether there is one to try
 */
export async function enterKey(tried = readKey()) {
  if (readKey() !== tried) return Boolean(readKey());
  if (isRefused) return false;
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

async function ask() {
  const key = await askForKey();
  isRefused = !key;
  if (key) keepKey(key);
  for (const listener of [...keyListeners]) listener();
  return Boolean(key);
}

async function fetchWithKey(url, init) {
  try {
    return await fetch(url, { ...init, headers: { ...init.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "unreachable", message: error.message });
  }
}
