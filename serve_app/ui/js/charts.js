/** Charts by Plotly, which is loaded with the first of them. Each has a table beside it for those who cannot see it: that is the view's. */

let loading = null;
/** What each chart shows: drawn again when the theme changes, for its colours are the theme's. */
const drawn = new Map();
const FONT = { family: "system-ui, 'Noto Sans', 'Noto Sans CJK SC', sans-serif", size: 12 };

/** Plotly itself. It is the package's own file, served by this service. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/ui/vendor/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      reject(new Error("the chart library could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

/**
 * Draw a chart, or change the one that is there.
 * @param {HTMLElement} element with the class "chart"
 * @param {Array<Object>} traces as Plotly has them
 * @param {{x?: string, y?: string, layout?: Object}} words the titles of the axes
 */
export async function drawChart(element, traces, words = {}) {
  const { x = "", y = "", layout = {} } = words;
  const library = await plotly();
  if (!element.isConnected) return;
  drawn.set(element, [traces, words]);
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true };
  const whole = {
    font: { ...FONT, color: colour("--text") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 50, r: 15, t: 32, b: 40 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    colorway: ["--training", "--warn", "--serving", "--inference", "--bad", "--preprocessing"].map(colour),
    ...layout,
    xaxis: { ...axis, title: { text: plain(x) }, ...layout.xaxis },
    yaxis: { ...axis, title: { text: plain(y) }, ...layout.yaxis },
  };
  const named = traces.map((trace) => ({ ...trace, name: plain(trace.name) }));
  await library.react(element, named, whole, { displayModeBar: false, responsive: true });
}

/** Plotly reads names and titles as markup: what a task is called stays text. */
function plain(text) {
  return String(text ?? "").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Take a chart down, when its view is left. */
export function clearChart(element) {
  drawn.delete(element);
  if (window.Plotly && element.classList.contains("js-plotly-plot")) window.Plotly.purge(element);
}

/** A colour of the current theme. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

document.addEventListener("theme", () => {
  for (const [element, [traces, words]] of [...drawn]) {
    if (element.isConnected) drawChart(element, traces, words);
    else drawn.delete(element);
  }
});
