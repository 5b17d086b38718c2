/** Which view is shown: the part of the address after "#". Each view gets a signal that ends when it is left. */

const routes = [];
let leaving = new AbortController();
let notFound = null;
let afterOpen = () => {};
let afterAll = () => {};
let afterFault = () => {};

/**
 * @param {string} pattern such as "/tasks/:id"
 * @param {() => Promise<{open: (place: Object) => Promise<void>|void}>} load imports the view when it is first shown
 */
export function route(pattern, load) {
  const names = [...pattern.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const expression = new RegExp(`^${pattern.replace(/:\w+/g, "([^/]+)")}$`);
  routes.push({ expression, names, load, pattern });
}

/**
 * Begin to show views.
 * @param {Object} frame `opened(pattern, path)` gives the element that a view is about to be drawn in; `ready()` is called once it has
 *   drawn what it begins with, `failed(error)` where it could not; `fallback()` where there is no such view
 */
export function start({ opened, ready, failed, fallback }) {
  afterOpen = opened;
  afterAll = ready;
  afterFault = failed;
  notFound = fallback;
  window.addEventListener("hashchange", () => show());
  return show();
}

/** Go to another view. */
export function go(path) {
  location.hash = path;
}

/** Change the query of the current view without opening it anew: filters stay in the address. A list stands there as a name that repeats. */
export function replaceQuery(query) {
  const [path] = place();
  const pairs = Object.entries(query).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined));
  history.replaceState(null, "", `#${path}${text.size ? `?${text}` : ""}`);
}

/** Draw the current view anew, as after a change of language. */
export async function show() {
  leaving.abort();
  const here = new AbortController();
  leaving = here;
  const { signal } = here;
  const [path, query] = place();
  const found = routes.map((each) => [each, each.expression.exec(path)]).find(([, match]) => match);
  if (!found) {
    notFound();
    return;
  }
  const [each, match] = found;
  const params = Object.fromEntries(each.names.map((name, index) => [name, decodeURIComponent(match[index + 1])]));
  try {
    const view = await each.load();
    if (signal.aborted) return;
    await view.open({ root: afterOpen(each.pattern, path), params, query, signal });
    if (!signal.aborted) afterAll();
  } catch (error) {
    if (signal.aborted) return;
    here.abort(); // what the view had begun must not go on behind the message
    afterFault(error);
  }
}

function place() {
  const [path, query = ""] = (location.hash.slice(1) || "/overview").split("?");
  return [path, new URLSearchParams(query)];
}
