/** A menu of actions that opens below a button: arrows move in it, Escape closes it, and the focus comes back to the button. */
import { h } from "../dom.js";

const GAP_PX = 4;

/**
 * Open a menu.
 * @param {HTMLElement} button that was pressed
 * @param {string} label what the menu is, for screen readers
 * @param {Array<{label: string, hint?: string, isDangerous?: boolean, run: () => any}>} entries
 */
export function openMenu(button, label, entries) {
  const items = entries.map((entry) => h("button", {
    type: "button", role: "menuitem", tabindex: "-1", class: entry.isDangerous ? "danger" : "", title: entry.hint, onclick: () => choose(entry),
  }, entry.label));
  const menu = h("div", { class: "menu", popover: "auto", role: "menu", "aria-label": label }, items);
  const choose = (entry) => {
    menu.hidePopover();
    entry.run();
  };
  menu.addEventListener("keydown", (event) => moveWith(event, items));
  const leave = () => menu.hidePopover();
  window.addEventListener("hashchange", leave);
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    window.removeEventListener("hashchange", leave);
    button.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body) button.focus();
    menu.remove();
  });
  document.body.append(menu);
  menu.showPopover();
  button.setAttribute("aria-expanded", "true");
  place(menu, button);
  items[0]?.focus();
}

/** Where the arrow keys lead from each entry. */
function moveWith(event, items) {
  const here = items.indexOf(document.activeElement);
  const places = { ArrowDown: (here + 1) % items.length, ArrowUp: (here - 1 + items.length) % items.length, Home: 0, End: items.length - 1 };
  if (!(event.key in places)) return;
  event.preventDefault();
  items[places[event.key]].focus();
}

function place(menu, button) {
  const box = button.getBoundingClientRect();
  const below = box.bottom + GAP_PX;
  const isRoomBelow = below + menu.offsetHeight < window.innerHeight;
  menu.style.top = `${isRoomBelow ? below : Math.max(GAP_PX, box.top - menu.offsetHeight - GAP_PX)}px`;
  menu.style.left = `${Math.max(GAP_PX, Math.min(box.right - menu.offsetWidth, window.innerWidth - menu.offsetWidth - GAP_PX))}px`;
}
