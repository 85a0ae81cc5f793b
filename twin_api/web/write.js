// Write: a brief becomes drafts as they are written; each is judged, edited, copied or revised where it stands.

import { ask, events, Problem } from "./api.js";
import { at, busy, el, plural, problem, put, say, show } from "./dom.js";
import { copy, editing, thumbs, withoutLabels } from "./feedback.js";
import { markdown } from "./markdown.js";
import { Margin } from "./passages.js";
import { whoever } from "./shell.js";

const form = at("form"), margin = new Margin();
let running = null;
const versions = []; // every draft and revision of this brief, in order

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
  const links = form.links.value.split("\n").map((one) => one.trim()).filter(Boolean);
  write({
    kind: form.kind.value, brief: form.brief.value.trim(), links, drafts: Number(form.drafts.value),
    ...(form.words.value ? { words: Number(form.words.value) } : {}),
  }, form, at("go"), (number, of) => (number === 0 ? "Outline" : of > 1 ? `Draft ${number}` : "Draft"));
});
at("brief").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
at("stop").addEventListener("click", () => running?.abort());

function start() {
  versions.length = 0;
  put(at("tabs"));
  put(at("drafts-written"));
  margin.clear();
}

async function write(wanted, where, button, called) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const begun = new Map(), count = wanted.drafts || 1;
  const version = (number) => {
    if (!begun.has(number)) begun.set(number, new Version(called(number, count)));
    return begun.get(number);
  };
  show(at("empty"), false);
  show(at("stop"));
  say("Looking up what you wrote on it…");
  await busy(button, where, async () => {
    try {
      const response = await ask("POST", "/v1/write", { ...wanted, stream: true }, { signal });
      show(at("desk"));
      let ended = false;
      for await (const { event, data } of events(response)) {
        const told = JSON.parse(data);
        if (event === "sources") { for (const one of begun.values()) one.sources = told; margin.fill(told.citations, told.links, "draft"); begun.sources = told; }
        else if (event === "delta") version(told.draft).add(told.text, begun.sources);
        else if (event === "error") problem(where, new Problem(told.detail, 0));
        else if (event === "done") { ended = true; finish(told, version, where); }
      }
      if (!ended) throw new Problem("The stream ended before the draft did. What was written so far is here.", 0);
    } finally {
      for (const one of begun.values()) one.rest();
    }
  });
  if (running.signal === signal) show(at("stop"), false);
  if (signal.aborted) say("Stopped. What was written so far is here.");
}

function finish(told, version, where) {
  const all = told.outline ? [told.outline, ...told.drafts] : told.drafts;
  for (const draft of all) version(draft.number).done(draft, told);
  const first = told.drafts[0];
  if (!first) return;
  version(first.number).select();
  if (told.outcome === "retrieval_only") problem(where, new Problem("No language model answers, so nothing was written. Below is what you wrote on it.", 0));
  const words = first.text.split(/\s+/).filter(Boolean).length;
  say(`Written: ${plural(words, "word")}, resting on ${plural(first.cited.length, "passage")}.`);
}

// One draft: a tab and a sheet.
class Version {
  constructor(name) {
    this.text = "";
    this.number = versions.push(this);
    const id = `sheet-${this.number}`;
    this.tab = el("button", { type: "button", role: "tab", id: `tab-${this.number}`, "aria-controls": id, "aria-selected": "false", onclick: () => this.select() }, name);
    this.body = el("div.words");
    this.tools = el("div.tools", { hidden: true });
    this.sheet = el("article.card.said.sheet", { id, role: "tabpanel", "aria-labelledby": this.tab.id, "aria-busy": "true" }, this.body, el("p.problem", { role: "alert", hidden: true }), this.tools);
    this.tab.addEventListener("keydown", (event) => this.move(event));
    at("tabs").append(this.tab);
    at("drafts-written").append(this.sheet);
    show(at("tabs"), versions.length > 1);
    this.select();
  }

  select() {
    for (const one of versions) {
      one.tab.setAttribute("aria-selected", String(one === this));
      one.tab.tabIndex = one === this ? 0 : -1;
      show(one.sheet, one === this);
    }
    if (this.told) { margin.fill(this.citations(), this.told.links, `draft-${this.number}`); this.render(); }
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const other = versions[(this.number - 1 + step + versions.length) % versions.length];
    other.select();
    other.tab.focus();
  }

  add(text, sources) {
    this.text += text;
    this.sources = sources;
    this.drawing ??= requestAnimationFrame(() => { this.drawing = null; if (!this.told) this.render(); });
  }

  render() { put(this.body, markdown(this.text, (number) => margin.label(number))); }

  rest() { this.sheet.setAttribute("aria-busy", "false"); if (!this.told) this.render(); }

  citations() { return this.told.citations.map((one) => ({ ...one, cited: this.draft.cited.includes(one.label) })); }

  done(draft, told) {
    Object.assign(this, { draft, told, text: draft.text });
    this.sheet.setAttribute("aria-busy", "false");
    this.render();
    if (draft.number === 0 || draft.outcome === "failed") return;
    const instruction = el("input", { "aria-label": "What to change", maxlength: "4000", placeholder: "shorter, drop the second example…", required: true });
    const revise = el("button.quiet", { type: "submit" }, "Revise");
    const change = el("form.revise", { onsubmit: (event) => {
      event.preventDefault();
      write({ revise: draft.trace_id, instruction: instruction.value.trim() }, this.sheet, revise, () => `Revision ${versions.length}`);
    } }, instruction, revise);
    put(this.tools,
      el("p.row", {}, thumbs(draft.trace_id),
        el("button.quiet", { type: "button", onclick: () => this.edit() }, "Edit and keep"),
        el("button.quiet", { type: "button", onclick: () => copy(withoutLabels(this.text)) }, "Copy")),
      change,
    );
    show(this.tools);
  }

  edit() {
    const again = () => { show(this.tools); this.render(); this.tools.querySelector("button").focus(); };
    show(this.tools, false);
    put(this.body, editing(this.text, this.draft.trace_id, { kept: (text) => { this.text = text; again(); }, left: again }));
    this.body.querySelector("textarea").focus();
  }
}

const who = await whoever();
if (!who.may("write")) {
  problem(form, new Problem("This key may read only. Sign in with a key of the scope `write` to have drafts written.", 0));
  at("go").disabled = true;
}
