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
  let place = container.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = known.get(name);
    known.delete(name);
    if (!element) {
      element = create(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
  for (const element of known.values()) element.remove();
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
