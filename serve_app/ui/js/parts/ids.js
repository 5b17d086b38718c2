/** Ids for tasks that are to be submitted. */

/** A random UUID; browsers give one only over HTTPS and on this computer, so elsewhere it is made of random bytes. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const random = crypto.getRandomValues(new Uint8Array(16));
  random[6] = (random[6] & 0x0f) | 0x40;
  random[8] = (random[8] & 0x3f) | 0x80;
  const hex = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** An id for each content: the same request gets the same id again, so that sending it twice starts it once. */
export function idKeeper() {
  const ids = new Map();
  return (content) => {
    const text = JSON.stringify(content);
    if (!ids.has(text)) ids.set(text, newId());
    return ids.get(text);
  };
}
