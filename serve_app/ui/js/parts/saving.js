/** Giving files to the visitor. */
import { send } from "../api.js";
import { h } from "../dom.js";

/** The browser may begin to read late; then the bytes must still be there. */
const KEPT_MS = 60_000;

/** Give bytes to the visitor as a file. */
export function saveBlob(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** Read a file of the service, with the key that a plain link could not send, and give it to the visitor. */
export async function saveFrom(path, name) {
  saveBlob(name, await (await send(path, { headers: { Accept: "*/*" } })).blob());
}
