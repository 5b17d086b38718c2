/** Making and changing elements. Text is always set as text, never as markup: what tasks and files are called cannot become code. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, any>} [attributes] `class`, `style` (an object), `dataset`, `onclick` and other listeners; false, null and undefined leave an attribute out
 * @param {...(Node|string|number|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...flat(children));
  return element;
}

/** Put these children into an element, in place of what it held. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Set a text where it differs: a screen reader is not told again what it knows. */
export function setText(element, text) {
  const wanted = String(text ?? "");
  if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Make the rows of a container those of a list, in its order; rows that stay keep their element, and so focus and selection.
 * @param {Element} container only this function may change its children
 * @param {Array} items
 * @param {{key: (item) => string, create: (item) => HTMLElement, update: (element: HTMLElement, item) => void}} rows
 */
export function keyed(container, items, { key, create, update }) {
  const known = new Map([...container.children].map((element) => [element.dataset.key, element]));
  const wanted = new Set(items.map(key));
  for (const [name, element] of known) if (!wanted.has(name)) element.remove(); // first: rows behind them then stay where they are
  let place = container.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = known.get(name);
    if (!element) {
      element = create(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
}

/** Call a function once with the next frame, however often it is asked for before; nothing is drawn for a view that has gone. */
export function onceAFrame(draw, signal) {
  let asked = false;
  return () => {
    if (asked || signal?.aborted) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (!signal?.aborted) draw();
    });
  };
}

/** Let the browser do what is more urgent: input, and drawing what is there. */
function pause() {
  return globalThis.scheduler?.yield ? globalThis.scheduler.yield() : new Promise((resolve) => setTimeout(resolve));
}

/** As long as one slice of work may take: a frame has 16 ms. */
const SLICE_MS = 8;

/**
 * The same as `keyed` for long lists: rows are made and changed in slices of a few milliseconds, so that the page stays usable meanwhile.
 * A newer call ends an older one. Rows that are not shown keep their element for when they are again.
 * @param {Element} container only this list may change its children
 * @param {{key: (item) => string, create: (item) => HTMLElement, update: (element: HTMLElement, item) => void}} rows
 *   `update` is called where the item is another object than before
 */
export function slicedList(container, { key, create, update }) {
  const rows = new Map();
  let turn = 0;

  function place(item, before) {
    const name = key(item);
    let row = rows.get(name);
    if (!row) {
      row = { element: create(item), item: null };
      row.element.dataset.key = name;
      rows.set(name, row);
    }
    if (row.item !== item) update(row.element, item);
    row.item = item;
    if (row.element === before) return before.nextElementSibling;
    container.insertBefore(row.element, before);
    return before;
  }

  /** Show these items in this order; gives whether it came to its end. */
  async function show(items) {
    turn += 1;
    const mine = turn;
    const wanted = new Set(items.map(key));
    for (const element of [...container.children]) if (!wanted.has(element.dataset.key)) element.remove();
    let before = container.firstElementChild;
    let end = performance.now() + SLICE_MS;
    for (const item of items) {
      before = place(item, before);
      if (performance.now() < end) continue;
      await pause();
      if (mine !== turn) return false;
      end = performance.now() + SLICE_MS;
    }
    return true;
  }

  /** Keep the elements of these keys alone: rows of what is gone for good would be kept for ever. */
  function keep(keys) {
    for (const name of rows.keys()) if (!keys.has(name)) rows.delete(name);
  }

  /** Do something with every row that has been made, shown or not. */
  function each(action) {
    for (const { element, item } of rows.values()) action(element, item);
  }

  return { show, each, keep };
}

function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.className = value;
  else if (name === "style") Object.assign(element.style, value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name in PROPERTIES) element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

const PROPERTIES = { value: true, checked: true, disabled: true, hidden: true, indeterminate: true, htmlFor: true };

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
