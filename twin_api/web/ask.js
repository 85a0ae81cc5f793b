// Ask: a conversation, each answer with the passages it rests on. It lives in this tab and ends with it.

import { ask as request, events, Problem } from "./api.js";
import { at, busy, el, problem, put, say, show } from "./dom.js";
import { copy, editing, thumbs, withoutLabels } from "./feedback.js";
import { markdown } from "./markdown.js";
import { Margin } from "./passages.js";
import { whoever } from "./shell.js";

const form = at("form"), margin = new Margin(), REMEMBERED = 12;
let talk = [], running = null;
// A question may be sent before it is known who asks: it waits.
const known = whoever();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = form.question.value.trim();
  if (!question) return;
  running?.abort();
  const { signal } = running = new AbortController();
  const turn = new Turn(question);
  show(at("stop"));
  say("Reading what you wrote…");
  await busy(at("go"), form, () => turn.ask(signal));
  if (!turn.answer) turn.element.remove();
  if (running.signal !== signal) return; // the next question is being answered already
  show(at("stop"), false);
  // What was typed meanwhile is the next question, and stays.
  if (turn.answer && form.question.value.trim() === question) { form.question.value = ""; form.question.focus({ preventScroll: true }); }
  show(at("empty"), !talk.length);
  show(at("anew"), talk.length > 0);
});
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
at("stop").addEventListener("click", () => running?.abort());
at("anew").addEventListener("click", () => {
  talk = [];
  put(at("turns"));
  margin.clear();
  show(at("anew"), false);
  show(at("empty"));
  at("question").focus();
});

class Turn {
  constructor(question) {
    this.question = question;
    this.answer = "";
    this.citations = [];
    this.body = el("div.words", { "aria-busy": "true" });
    this.tools = el("p.row.tools", { hidden: true });
    this.element = el("li.turn", {}, el("p.question", {}, question), el("div.said", { onfocusin: () => this.front() }, this.body, el("p.problem", { role: "alert", hidden: true }), this.tools));
    this.name = `turn-${at("turns").childElementCount}`;
    at("turns").append(this.element);
    show(at("empty"), false);
    this.element.scrollIntoView({ block: "nearest" });
  }

  // The margin shows what the turn that is looked at rests on.
  front() {
    if (margin.turn === this) return;
    margin.turn = this;
    margin.fill(this.citations, [], this.name);
  }

  async ask(signal) {
    const before = talk.slice(-REMEMBERED).flatMap((one) => [{ role: "user", content: one.question }, { role: "assistant", content: one.answer }]);
    const { slug } = await known;
    const body = { model: slug, stream: true, messages: [...before, { role: "user", content: this.question }] };
    try {
      const response = await request("POST", "/v1/chat/completions", body, { signal });
      for await (const { data } of events(response)) {
        if (data === "[DONE]") continue;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Problem(chunk.error.message, 0);
        this.answer += chunk.choices[0]?.delta.content || "";
        if (chunk.citations) this.finish(chunk);
        else this.drawing ??= requestAnimationFrame(() => { this.drawing = null; this.render(); });
      }
    } finally {
      this.body.setAttribute("aria-busy", "false");
      if (this.answer) this.render();
    }
  }

  render() { put(this.body, markdown(this.answer, (number) => this.label(number))); }

  label(number) {
    if (!this.citations.some((one) => one.label === number)) return null;
    return el("button.label", { type: "button", "aria-label": `Passage ${number}`, onclick: (event) => { this.front(); margin.open(number, event.currentTarget); } }, String(number));
  }

  finish({ citations, outcome, trace_id: trace }) {
    this.citations = citations;
    if (outcome === "retrieval_only") problem(this.element, new Problem("No language model answered. These are the passages that fit best.", 0));
    if (outcome === "failed") problem(this.element, new Problem("The language model broke off in the middle of its answer.", 0));
    this.render();
    margin.turn = null;
    this.front();
    put(this.tools,
      thumbs(trace),
      el("button.quiet", { type: "button", onclick: () => this.edit(trace) }, "Edit and keep"),
      el("button.quiet", { type: "button", onclick: () => copy(withoutLabels(this.answer)) }, "Copy"),
    );
    show(this.tools);
    talk.push({ question: this.question, answer: this.answer });
    const cited = citations.filter((one) => one.cited).length;
    say(`Answered, resting on ${cited === 1 ? "one passage" : `${cited} passages`}.`);
  }

  edit(trace) {
    const again = () => { show(this.tools); this.render(); this.tools.querySelector("button").focus(); };
    show(this.tools, false);
    put(this.body, editing(this.answer, trace, { kept: (text) => { this.answer = text; again(); }, left: again }));
    this.body.querySelector("textarea").focus();
  }
}

await known;
at("question").focus();
