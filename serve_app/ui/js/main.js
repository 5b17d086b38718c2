/** The frame around the views: navigation, language, theme, key, connection. */
import { fill, h, setText } from "./dom.js";
import { allowAsking, enterKey, isKeyRefused, onKey, whenKeyIsNeeded } from "./api.js";
import { LANGUAGES, language, onLanguage, setLanguage, translator } from "./i18n.js";
import { keepKey, readKey, remember, remembered } from "./memory.js";
import { askForKey } from "./parts/dialog.js";
import { explain, notice } from "./parts/notices.js";
import { route, show, start } from "./router.js";
import * as state from "./state.js";

const t = translator();
const THEMES = ["auto", "light", "dark"];
const VIEWS = [
  { path: "/overview", words: "overview" },
  { path: "/tasks", words: "tasks" },
  { group: "new" },
  { path: "/new/training", words: "new_training" },
  { path: "/new/inference", words: "new_inference" },
  { path: "/new/preprocessing", words: "new_preprocessing" },
  { group: "models" },
  { path: "/models", words: "models" },
  { path: "/try", words: "try_it" },
  { path: "/limits", words: "limits" },
];

route("/overview", () => import("./views/overview.js"));
route("/tasks", () => import("./views/tasks.js"));
route("/tasks/:id", () => import("./views/task.js"));
route("/new/training", () => import("./views/new_training.js"));
route("/new/inference", () => import("./views/new_inference.js"));
route("/new/preprocessing", () => import("./views/new_preprocessing.js"));
route("/models", () => import("./views/models.js"));
route("/try", () => import("./views/try_it.js"));
route("/limits", () => import("./views/limits.js"));

const main = document.getElementById("main");
let lastPath = null;
/** Whether a message stands in place of the view, as where its first request had no key. */
let hasFailed = false;

document.documentElement.dataset.theme = remembered("theme") ?? "auto";
whenKeyIsNeeded(askForKey);
onLanguage(() => {
  drawFrame();
  document.getElementById("language").focus();
  show();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part after "#" names the view
  main.focus();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tellTheme);
state.subscribe("connection", drawConnection);
onKey(() => {
  drawKey();
  if (hasFailed && !isKeyRefused()) show();
});
drawFrame();
state.connect();
start({ opened: prepare, ready: () => main.setAttribute("data-ready", ""), failed: showFault, fallback: showNotFound });

/** Empty the content for a view that is about to be drawn; the focus goes there, so that a screen reader begins to read it. */
function prepare(pattern, path) {
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = path === link.getAttribute("href").slice(1) || (link.dataset.path === "/tasks" && pattern === "/tasks/:id");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = h("div", { class: "stack" });
  hasFailed = false;
  main.removeAttribute("data-ready");
  fill(main, root);
  if (lastPath !== null && lastPath !== path) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  lastPath = path;
  return root;
}

function showNotFound() {
  fill(main, notice(t("not_found"), "warn", h("a", { href: "#/overview" }, t("back_to_overview"))));
}

function showFault(error) {
  hasFailed = true;
  const tryAgain = () => {
    allowAsking();
    show();
  };
  const again = h("button", { type: "button", onclick: tryAgain }, t("try_again"));
  fill(main, notice(t("failed_to_load", { reason: explain(error) }), "bad", h("div", {}, again)));
}

function drawFrame() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = t("brand");
  setText(document.getElementById("brand"), t("brand"));
  setText(document.getElementById("skip"), t("skip"));
  const nav = document.getElementById("nav");
  nav.setAttribute("aria-label", t("views"));
  fill(nav, h("ul", {}, VIEWS.map(navEntry)));
  fill(document.getElementById("preferences"), languageChoice(), themeChoice(), h("span", { id: "key-choice" }));
  drawKey();
  drawConnection();
}

function navEntry(view) {
  if (view.group) return h("li", { class: "nav-group" }, t(view.group));
  return h("li", {}, h("a", { href: `#${view.path}`, dataset: { path: view.path } }, t(view.words)));
}

function drawConnection() {
  const element = document.getElementById("connection");
  element.dataset.state = state.connection;
  setText(element, t(state.connection));
}

function languageChoice() {
  const options = Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name));
  const select = h("select", { id: "language", "aria-label": t("language"), onchange: () => setLanguage(select.value) }, options);
  select.value = language();
  return select;
}

function themeChoice() {
  const options = THEMES.map((theme) => h("option", { value: theme }, t(`theme_${theme}`)));
  const change = () => {
    document.documentElement.dataset.theme = select.value;
    remember("theme", select.value);
    tellTheme();
  };
  const select = h("select", { id: "theme", "aria-label": t("theme"), onchange: change }, options);
  select.value = document.documentElement.dataset.theme;
  return select;
}

/** Charts have taken their colours from the theme; views stay as they are, with what was entered in them. */
function tellTheme() {
  document.dispatchEvent(new Event("theme"));
}

/** What can be done about the key now, if anything. */
function drawKey() {
  fill(document.getElementById("key-choice"), keyButton());
}

function keyButton() {
  if (isKeyRefused()) return h("button", { type: "button", onclick: askAgain }, t("enter_key"));
  if (!readKey()) return null;
  const forget = () => {
    keepKey("");
    location.reload();
  };
  return h("button", { type: "button", class: "plain", onclick: forget }, t("forget_key"));
}

async function askAgain() {
  allowAsking();
  await enterKey();
}
