/** Predictions per second, from the counter that the service shows to Prometheus. */

const LINE = /^rfuav_predictions_total(?:\{[^}]*\})? (\S+)$/gm;

/** A meter; each `take` of the text of /metrics gives the total, and the pace since the one before (null for the first). */
export function predictionMeter() {
  let last = null;
  return {
    take(text) {
      const total = [...text.matchAll(LINE)].reduce((sum, match) => sum + Number(match[1]), 0);
      const now = performance.now();
      const perSecond = last && total >= last.total ? ((total - last.total) * 1000) / (now - last.at) : null;
      last = { total, at: now };
      return { total, perSecond };
    },
  };
}
