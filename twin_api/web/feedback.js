// A word on an answer or draft: good, not good, or how it should have read. It becomes what the twin learns to prefer.

import { post } from "./api.js";
import { el, problem, say, svg } from "./dom.js";

// Drawn, because not every machine has the sign in its letters.
const thumb = () => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: "M3 10.5h3.5V20H3zM8.5 20V10l4-7c1.6 0 2.6 1.1 2.4 2.6L14.3 9H19c1.4 0 2.3 1.2 2 2.5l-1.6 6.8c-.3 1-1.1 1.7-2.2 1.7z" }));

export function thumbs(trace) {
  const buttons = ["up", "down"].map((verdict) => el(`button.thumb.${verdict}`, {
    type: "button", "aria-pressed": "false", title: verdict === "up" ? "Good" : "Not good",
    "aria-label": verdict === "up" ? "Good" : "Not good",
    onclick: (event) => give(event.currentTarget, verdict),
  }, thumb()));
  const box = el("span.thumbs", { role: "group", "aria-label": "Was it good?" }, ...buttons);
  async function give(pressed, verdict) {
    const where = box.closest(".said");
    try {
      problem(where, null);
      await post("/v1/feedback", { trace_id: trace, verdict });
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === pressed));
      say(verdict === "up" ? "Noted: it was good." : "Noted: it was not good.");
    } catch (error) { problem(where, error); }
  }
  return box;
}

// Puts a text box in the place of the text until it is kept or left.
export function editing(text, trace, { kept, left }) {
  const box = el("textarea.editing", { "aria-label": "Your version", rows: Math.min(30, text.split("\n").length + Math.ceil(text.length / 70) + 1), spellcheck: "true" });
  box.value = text;
  const wrong = el("p.problem", { role: "alert", hidden: true });
  const keep = el("button", { type: "button", onclick: async () => {
    try {
      problem(wrong, null);
      keep.disabled = true;
      await post("/v1/feedback", { trace_id: trace, edited: box.value });
      say("Kept. The twin learns that you prefer your version.");
      kept(box.value);
    } catch (error) { problem(wrong, error); } finally { keep.disabled = false; }
  } }, "Keep my version");
  const leave = el("button.quiet", { type: "button", onclick: () => left() }, "Leave it");
  return el("div", {}, box, wrong, el("p.row", {}, keep, leave));
}

// For pasting elsewhere: without the labels of passages.
export const withoutLabels = (text) => text.replace(/ ?\[\d{1,3}\]/g, "");

export async function copy(text, said = "Copied, without the labels of passages.") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea.off", { "aria-hidden": "true" });
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
  say(said);
}
