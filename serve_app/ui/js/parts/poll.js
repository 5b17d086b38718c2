/** Asking again and again for what no stream tells, while a view is shown and the tab is seen. */
import { ApiError } from "../api.js";
import { pause } from "../pause.js";

/**
 * Do something now and then every so often, one at a time, until the signal ends it; gives once the first turn is over.
 * A turn that fails is told to `failed`, and the next one comes all the same.
 * @param {() => Promise<void>} turn
 * @param {{everyMs: number, signal: AbortSignal, failed?: (error: Error) => void}} pace
 */
export async function poll(turn, pace) {
  await once(turn, pace);
  repeat(turn, pace);
}

async function repeat(turn, pace) {
  for (;;) {
    await pause(pace.everyMs, pace.signal);
    if (pace.signal.aborted) return;
    await once(turn, pace);
  }
}

async function once(turn, { signal, failed = ignoreAnswers }) {
  try {
    if (!document.hidden) await turn();
  } catch (error) {
    if (!signal.aborted && error.name !== "AbortError") tellOf(error, failed);
  }
}

function tellOf(error, failed) {
  try {
    failed(error);
  } catch (unexpected) {
    console.error(unexpected); // the page's own fault; the next turn comes all the same
  }
}

/** An answer that could not be had is asked for again; anything else is a fault of the page. */
function ignoreAnswers(error) {
  if (!(error instanceof ApiError)) throw error;
}
