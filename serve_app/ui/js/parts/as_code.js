/** One request in three other ways: as a curl command, with the Python client, and with the command line. */
import { readKey } from "../memory.js";
import { h, setText } from "../dom.js";
import { translator } from "../i18n.js";
import { words } from "../words/forms.js";
import { copyText } from "./clipboard.js";

const t = translator(words);
const WAYS = ["as_curl", "as_python", "as_rfuav"];

/** The request as a shell command. */
export function asCurl({ path, request, origin = location.origin, withKey = Boolean(readKey()) }) {
  const key = withKey ? " \\\n  -H \"X-API-Key: $RFUAV_API_KEY\"" : "";
  return `curl -X POST ${quote(origin + path)}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quote(JSON.stringify(request))}`;
}

/** The request with the Python client. */
export function asPython({ method, request, origin = location.origin, withKey = Boolean(readKey()) }) {
  const client = withKey ? `Client(${literal(origin)}, api_key=os.environ["RFUAV_API_KEY"])` : `Client(${literal(origin)})`;
  const lines = Object.entries(request).map(([name, value]) => `    ${name}=${literal(value)},`);
  const call = lines.length ? `client.${method}(\n${lines.join("\n")}\n)` : `client.${method}()`;
  return `${withKey ? "import os\n\n" : ""}from cluster.client import Client\n\nclient = ${client}\nanswer = ${call}\nprint(answer)`;
}

/** The request with the command line. */
export function asRfuav({ command, request, origin = location.origin }) {
  const parts = optionsOf(request).map((option) => `  ${option}`);
  return [`rfuav ${command}`, `  --url ${quote(origin)}`, ...parts].join(" \\\n");
}

/**
 * The three, one of them shown.
 * @returns {{element: HTMLElement, show: (wish: {path: string, method: string, command: string, request: Object}) => void}}
 */
export function codePanel() {
  const code = h("code", {});
  let chosen = WAYS[0];
  let wish = null;
  const make = { as_curl: asCurl, as_python: asPython, as_rfuav: asRfuav };
  const draw = () => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab.dataset.way === chosen));
      tab.tabIndex = tab.dataset.way === chosen ? 0 : -1;
    }
    panel.setAttribute("aria-label", t(chosen));
    setText(code, wish ? make[chosen](wish) : "");
  };
  const choose = (way, focus) => {
    chosen = way;
    draw();
    if (focus) tabs[WAYS.indexOf(way)].focus();
  };
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose(WAYS[(WAYS.indexOf(chosen) + step + WAYS.length) % WAYS.length], true);
  };
  const tabs = WAYS.map((way) => h("button", { type: "button", role: "tab", class: "tab", dataset: { way }, "aria-controls": "as-code", onclick: () => choose(way) }, t(way)));
  const panel = h("pre", { id: "as-code", role: "tabpanel", tabindex: "0" }, code);
  const copy = h("button", { type: "button", class: "plain", onclick: () => copyText(code.textContent) }, t("copy"));
  const head = h("div", { class: "spread" }, h("div", { class: "tabs", role: "tablist", "aria-label": t("request_title"), onkeydown: move }, tabs), copy);
  draw();
  return {
    element: h("section", { class: "card stack", "aria-label": t("request_title") }, h("h2", {}, t("request_title")), head, panel),
    show: (given) => {
      wish = given;
      draw();
    },
  };
}

/** A text for a POSIX shell. */
export function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, each]) => `${literal(name)}: ${literal(each)}`).join(", ")}}`;
  return JSON.stringify(value); // JSON's strings and numbers are Python's too
}

function optionsOf(request, prefix = "") {
  return Object.entries(request).flatMap(([name, value]) => optionOf(`${prefix}${name}`.replaceAll("_", "-"), value));
}

function optionOf(name, value) {
  if (value === null || value === undefined) return [];
  if (value === true) return [`--${name}`];
  if (value === false) return [`--no-${name}`];
  if (!Array.isArray(value) && typeof value === "object") return optionsOf(value, `${name}-`);
  const isPair = Array.isArray(value) && /(picture-size|augmentation-(gain|snr)-db)$/.test(name);
  if (isPair) return [`--${name} ${value.map((each) => quote(String(each))).join(" ")}`];
  if (Array.isArray(value)) return value.length ? value.map((each) => `--${name} ${quote(String(each))}`) : [`--no-${name}`];
  return [`--${name} ${quote(String(value))}`];
}
