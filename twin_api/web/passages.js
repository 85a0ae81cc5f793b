// The margin: the passages and pages that a text rests on. A label in the text opens its passage beside it; on a phone, above.

import { at, day, el, place, put, show } from "./dom.js";

const CATEGORY = { article: "Article", post: "Post", code: "Code" };

export class Margin {
  constructor(box = at("passages")) {
    this.box = box;
    this.from = null;
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && this.isOpen) this.close(); });
  }

  get isOpen() { return Boolean(this.box.querySelector(".passage.open")); }

  clear() { put(this.box); show(this.box, false); }

  // citations: the author's passages; links: pages of others. `name` tells the lists of several texts apart.
  fill(citations, links = [], name = "text") {
    this.name = name;
    const cited = citations.filter((one) => one.cited), others = citations.filter((one) => !one.cited);
    const list = (its) => el("ol.passages", {}, ...its.map((one) => this.passage(one)));
    put(this.box,
      el("h2", {}, cited.length ? "It rests on" : "Found for it"),
      list(cited.length ? cited : others),
      ...(cited.length && others.length ? [el("details.more", {}, el("summary", {}, `Also read (${others.length})`), list(others))] : []),
      ...(links.length ? [el("h2", {}, "Pages of others"), el("ol.passages", {}, ...links.map((one) => this.page(one)))] : []),
    );
    show(this.box, citations.length + links.length > 0);
    this.labels = new Set([...citations, ...links].map((one) => one.label));
  }

  // The element for a label in the text, or null where there is no such passage.
  label(number) {
    if (!this.labels?.has(number)) return null;
    const name = this.name;
    return el("button.label", {
      type: "button", "aria-label": `Passage ${number}`, "aria-controls": `passage-${name}-${number}`,
      onclick: (event) => this.open(number, event.currentTarget),
    }, String(number));
  }

  open(number, from) {
    for (const other of this.box.querySelectorAll(".passage.open")) this.shut(other);
    const found = document.getElementById(`passage-${this.name}-${number}`);
    if (!found) return;
    found.closest("details")?.setAttribute("open", "");
    this.from = from;
    found.classList.add("open");
    found.querySelector("blockquote").hidden = false;
    found.querySelector(".opener").setAttribute("aria-expanded", "true");
    found.focus({ preventScroll: true });
    found.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  close() {
    for (const open of this.box.querySelectorAll(".passage.open")) this.shut(open);
    (this.from?.isConnected ? this.from : at("main")).focus({ preventScroll: true });
  }

  shut(item) {
    item.classList.remove("open");
    item.querySelector("blockquote").hidden = true;
    item.querySelector(".opener").setAttribute("aria-expanded", "false");
  }

  passage(one) {
    const about = [CATEGORY[one.category] || one.category, day(one.written_at)].filter(Boolean).join(" · ");
    return this.item(one, one.title || one.location, about, [
      el("a", { href: `/documents?id=${one.document_id}&from=${one.start}&to=${one.end}&revision=${one.revision_id}` }, "Read it where it stands"),
      place(one.location, "On the web ↗"),
    ]);
  }

  page(one) {
    return this.item(one, one.title || one.url, `A page of others · ${one.cited ? "named in the text" : "read"}`, [place(one.url, "On the web ↗")]);
  }

  item(one, title, about, actions) {
    const item = el("li.passage", { id: `passage-${this.name}-${one.label}`, tabindex: "-1" });
    item.append(
      el("button.opener", {
        type: "button", "aria-expanded": "false",
        onclick: (event) => (item.classList.contains("open") ? this.close() : this.open(one.label, event.currentTarget)),
      }, el("span.label", { "aria-hidden": "true" }, String(one.label)), el("span", {}, el("strong", {}, title), el("span.hint", {}, about))),
      el("blockquote", { hidden: true }, el("div.words", {}, one.text), el("p.row", {}, ...actions, el("button.link", { type: "button", onclick: () => this.close() }, "Back to the text"))),
    );
    return item;
  }
}
