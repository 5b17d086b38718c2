/** The frame around the views: navigation, language, theme, key, connection. */
import { fill, h, setText } from "./dom.js";
import { whenKeyIsNeeded } from "./api.js";
import { LANGUAGES, language, onLanguage, setLanguage, translator } from "./i18n.js";
import { keepKey, readKey, remember, remembered } from "./memory.js";
import { askForKey } from "./parts/dialog.js";
import { notice } from "./parts/notices.js";
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
let isFirst = true;

document.documentElement.dataset.theme = remembered("theme") ?? "auto";
whenKeyIsNeeded(askForKey);
onLanguage(() => {
  drawFrame();
  show();
});
state.subscribe("connection", drawConnection);
drawFrame();
start({ opened: prepare, fallback: showNotFound });

/** Empty the content for a view that is about to be drawn; the focus goes there, so that a screen reader begins to read it. */
function prepare(pattern, path) {
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = path === link.getAttribute("href").slice(1) || (link.dataset.path === "/tasks" && pattern === "/tasks/:id");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = h("div", { class: "stack" });
  fill(main, root);
  if (!isFirst) main.focus({ preventScroll: true });
  isFirst = false;
  window.scrollTo(0, 0);
  return root;
}

function showNotFound() {
  fill(main, notice(t("not_found"), "warn", h("a", { href: "#/overview" }, t("back_to_overview"))));
}

function drawFrame() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = t("brand");
  setText(document.getElementById("brand"), t("brand"));
  setText(document.getElementById("skip"), t("skip"));
  const nav = document.getElementById("nav");
  nav.setAttribute("aria-label", t("views"));
  fill(nav, h("ul", {}, VIEWS.map(navEntry)));
  fill(document.getElementById("preferences"), languageChoice(), themeChoice(), keyButton());
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
    show(); // charts have taken their colours from the theme
  };
  const select = h("select", { id: "theme", "aria-label": t("theme"), onchange: change }, options);
  select.value = document.documentElement.dataset.theme;
  return select;
}

function keyButton() {
  if (!readKey()) return null;
  const forget = () => {
    keepKey("");
    location.reload();
  };
  return h("button", { type: "button", class: "plain", onclick: forget }, t("forget_key"));
}
