/** The lines of a log as they were read: all of them up to a bound, and which of them a filter lets through. Knows no elements. */

/** More would take too much of the browser's memory; the service's file has all. */
export const MOST_LINES = 100_000;
/** So many go at once when there are too many: going one by one would move the rest each time. */
const DROPPED_AT_ONCE = 10_000;
const RANKS = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 };

export class LogStore {
  /** Every kept line: {seq, time, level, text}. */
  lines = [];
  /** Those that the filter lets through. */
  found = [];
  /** How many of the first lines are no longer kept. */
  dropped = 0;
  #lastSeq = 0;
  #least = 0;
  #needle = "";

  /** Take in a record with its number; gives false for one that is known already. A record without a number is the end that a stream adds. */
  add(record, id) {
    const seq = Number(id) || this.#lastSeq;
    if (id && seq <= this.#lastSeq) return false;
    if (!record.message && !record.timestamp) return false;
    this.#lastSeq = seq;
    const line = { seq, time: record.timestamp ?? "", level: record.level ?? "INFO", text: record.message ?? "" };
    this.lines.push(line);
    if (this.#lets(line)) this.found.push(line);
    if (this.lines.length > MOST_LINES) this.#drop();
    return true;
  }

  /** Let through only lines of at least this level ("" for all) that hold this text, whatever its case. */
  filter(level, text) {
    this.#least = RANKS[level] ?? 0;
    this.#needle = text.toLowerCase();
    this.found = this.lines.filter((line) => this.#lets(line));
  }

  /** Everything that is kept, as text. */
  asText() {
    return this.lines.map((line) => `${line.time} ${line.level} ${line.text}\n`).join("");
  }

  #lets(line) {
    return (RANKS[line.level] ?? 20) >= this.#least && (!this.#needle || line.text.toLowerCase().includes(this.#needle));
  }

  #drop() {
    this.lines.splice(0, DROPPED_AT_ONCE);
    this.dropped += DROPPED_AT_ONCE;
    this.found = this.lines.filter((line) => this.#lets(line));
  }
}
