/** What the browser keeps for this page. The key is kept for the tab alone, and only in memory where the browser keeps nothing. */

const PREFIX = "rfuav.";
const unkept = new Map();

export function remembered(name) {
  return read(localStorageOrNone(), name);
}

export function remember(name, value) {
  write(localStorageOrNone(), name, value);
}

/** The API key that was entered in this tab, or "". */
export function readKey() {
  return read(sessionStorageOrNone(), "key") ?? "";
}

export function keepKey(key) {
  write(sessionStorageOrNone(), "key", key);
}

function read(storage, name) {
  return (storage ? storage.getItem(PREFIX + name) : unkept.get(name)) ?? null;
}

function write(storage, name, value) {
  if (!storage) unkept.set(name, value);
  else if (value) storage.setItem(PREFIX + name, value);
  else storage.removeItem(PREFIX + name);
}

function localStorageOrNone() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function sessionStorageOrNone() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
