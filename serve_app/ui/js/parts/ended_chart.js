/** Tasks that ended, hour by hour: small bars, and the same figures as a table. Small enough to need no chart library. */
import { fill, h, setText } from "../dom.js";
import { number } from "../format.js";
import { language, translator } from "../i18n.js";
import { words } from "../words/overview.js";

const t = translator(words);
const HOURS = 24;
const HOUR_MS = 3_600_000;
const STATES = ["completed", "failed", "cancelled"];

/** The chart's element, and `update(tasks)`, which gives how many ended in these hours. */
export function endedChart() {
  const bars = h("div", { class: "hours", "aria-hidden": "true" });
  const body = h("tbody");
  const hint = h("p", { class: "quiet small" });
  const heads = [t("hour"), ...STATES.map((state) => t(state))].map((text) => h("th", { scope: "col" }, text));
  const table = h("details", {}, h("summary", { class: "small" }, t("as_table")),
    h("div", { class: "table-wrap hours-table", tabindex: "0", role: "region", "aria-label": t("throughput") }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body)));
  const legend = h("ul", { class: "legend small" }, STATES.map((state) => h("li", {}, h("span", { class: "swatch", dataset: { part: state }, "aria-hidden": "true" }), t(state))));
  let drawn = "";

  function update(tasks) {
    const hours = countByHour(tasks);
    const ended = hours.reduce((sum, hour) => sum + hour.total, 0);
    const figures = JSON.stringify(hours);
    if (figures === drawn) return ended;
    drawn = figures;
    const most = Math.max(1, ...hours.map((hour) => hour.total));
    fill(bars, hours.map((hour) => hourBar(hour, most)));
    fill(body, [...hours].reverse().filter((hour) => hour.total).map((hour) => h("tr", {}, h("th", { scope: "row" }, hourText(hour)), STATES.map((state) => h("td", { class: "end" }, number(hour[state]))))));
    setText(hint, ended ? t("throughput_hint", { count: number(tasks.length) }) : t("no_ended"));
    return ended;
  }

  return { element: h("div", { class: "stack" }, bars, h("div", { class: "spread" }, hint, legend), table), update };
}

function countByHour(tasks) {
  const last = Math.floor(Date.now() / HOUR_MS);
  const hours = Array.from({ length: HOURS }, (_, index) => ({ hour: last - HOURS + 1 + index, total: 0, completed: 0, failed: 0, cancelled: 0 }));
  for (const task of tasks) {
    if (!task.finished_at || !STATES.includes(task.status)) continue;
    const place = HOURS - 1 - (last - Math.floor(Date.parse(task.finished_at) / HOUR_MS));
    if (place < 0 || place >= HOURS) continue;
    hours[place][task.status] += 1;
    hours[place].total += 1;
  }
  return hours;
}

function hourBar(hour, most) {
  const title = t("bar_title", { hour: hourText(hour), completed: hour.completed, failed: hour.failed, cancelled: hour.cancelled });
  const parts = STATES.filter((state) => hour[state]).map((state) => h("span", { dataset: { part: state }, style: { height: `${(100 * hour[state]) / most}%` } }));
  return h("div", { class: "hour", title }, parts);
}

function hourText({ hour }) {
  return new Intl.DateTimeFormat(language(), { weekday: "short", hour: "2-digit", minute: "2-digit" }).format(new Date(hour * HOUR_MS));
}
