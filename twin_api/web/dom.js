// Making elements. Whatever comes from the server becomes a text node or a property here, and never markup.

export const at = (id) => document.getElementById(id);

// el("a.title", {href}, "text", otherElement): tag, classes, properties and attributes, children.
export function el(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

// Put these in the place of whatever is there; null and false are nothing.
export function put(element, ...children) {
  element.replaceChildren(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

// A link to where something is on the web; what is no web address stays a text: of a path, its end.
export function place(location, text) {
  if (!/^https?:\/\//i.test(location || "")) return el("span.place", { title: location || "" }, ending(location || ""));
  return el("a.place", { href: location, target: "_blank", rel: "noopener noreferrer", title: location }, text || location);
}

export const ending = (path) => (path.split("/").length > 3 ? `…/${path.split("/").slice(-2).join("/")}` : path);

export function show(element, yes = true) { element.hidden = !yes; return element; }

// What went wrong, beside what it belongs to; null takes it away.
export function problem(where, error) {
  const box = where.matches?.(".problem") ? where : where.querySelector(".problem");
  if (error?.name === "AbortError") return;
  box.hidden = !error;
  box.textContent = error ? error.message : "";
  if (error) box.scrollIntoView({ block: "nearest" });
}

// Said aloud to who does not see the page, and shown for a while to who does.
let fading;
export function say(text) {
  const box = at("says");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => box.classList.remove("shown"), 5000);
}

const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const MINUTE = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
export const day = (iso) => (iso ? DAY.format(new Date(iso)) : "");
export const minute = (iso) => (iso ? MINUTE.format(new Date(iso)) : "");
export const number = (value) => new Intl.NumberFormat().format(value);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

// Run what a button or form asks for: busy meanwhile, its problem beside it.
export async function busy(control, where, work) {
  if (where) problem(where, null);
  const focused = document.activeElement === control; // which disabling takes away
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (!where) throw error;
    problem(where, error);
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
    if (focused && document.activeElement === document.body) control.focus({ preventScroll: true });
  }
}

// A question in a dialog: what the pressed button's value is, "" for Escape.
export function asked(dialog) {
  return new Promise((answer) => {
    dialog.returnValue = "";
    dialog.addEventListener("close", () => answer(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}
