// The ask page: one question, a streamed answer, its sources. Text from the server only ever becomes text nodes.
"use strict";

const at = (id) => document.getElementById(id);
const form = at("form"), answer = at("answer"), list = at("list");
let running = null;

at("key").value = sessionStorage.getItem("key") || ""; // this tab only, gone with it

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  clear();
  busy(true);
  try {
    const key = at("key").value.trim();
    const model = await whoAmI(key, signal);
    sessionStorage.setItem("key", key);
    await ask(key, model, at("question").value, signal);
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
  } finally {
    if (running.signal === signal) busy(false);
  }
});

at("stop").addEventListener("click", () => running?.abort());
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

async function whoAmI(key, signal) {
  const response = await fetch("/v1/models", { headers: { Authorization: `Bearer ${key}` }, signal });
  if (!response.ok) throw new Error(await reason(response));
  const twin = (await response.json()).data[0];
  at("who").textContent = `You are asking the twin of ${twin.owned_by}.`;
  return twin.id;
}

async function ask(key, model, question, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: question }] }),
    signal,
  });
  if (!response.ok) throw new Error(await reason(response));
  let text = "";
  for await (const data of events(response.body)) {
    if (data === "[DONE]") break;
    const chunk = JSON.parse(data);
    if (chunk.error) { notice(chunk.error.message); continue; }
    text += chunk.choices[0]?.delta.content || "";
    if (chunk.citations) finish(text, chunk);
    else { answer.hidden = !text; answer.textContent = tightened(text); }
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    for (let end; (end = held.indexOf("\n\n")) >= 0; held = held.slice(end + 2)) {
      const frame = held.slice(0, end);
      if (frame.startsWith("data: ")) yield frame.slice(6); // the others are comments: "still here"
    }
  }
}

// Small models love blank lines: one at a time is enough.
function tightened(text) { return text.replace(/\n\s*\n\s*/g, "\n\n").trimStart(); }

function finish(text, { citations, outcome }) {
  const labels = new Set(citations.map((one) => String(one.label)));
  if (outcome === "retrieval_only" && citations.length) {
    notice("No language model answered. These are the passages that fit best.");
    answer.hidden = true;
  } else {
    answer.hidden = !text;
    answer.replaceChildren(...tightened(text).split(/(\[\d{1,3}\])/).map((part) => {
      const label = /^\[(\d+)\]$/.exec(part)?.[1];
      if (!label || !labels.has(label)) return document.createTextNode(part);
      const link = element("a", "label", part);
      link.href = `#source-${label}`;
      return link;
    }));
  }
  at("sources").hidden = !citations.length;
  list.replaceChildren(...citations.map(source));
}

function source(one) {
  const item = element("li", one.cited ? "cited" : "");
  item.id = `source-${one.label}`;
  item.value = one.label;
  const web = /^https?:\/\//.test(one.location);
  const title = element(web ? "a" : "strong", "title", one.title || one.location);
  if (web) { title.href = one.location; title.rel = "noreferrer noopener"; title.target = "_blank"; }
  const date = one.written_at ? ` · ${one.written_at.slice(0, 10)}` : "";
  const mark = one.cited ? [element("span", "badge", "cited")] : [];
  const details = element("details");
  details.append(element("summary", "", "Passage"), element("blockquote", "", one.text));
  item.append(title, ...mark, element("p", "quiet", `${one.category}${date} · ${one.location}`), details);
  return item;
}

function element(name, style = "", text = "") {
  const made = document.createElement(name);
  if (style) made.className = style;
  if (text) made.textContent = text;
  return made;
}

async function reason(response) {
  const problem = await response.json().catch(() => null);
  return problem?.detail || `The server answered with HTTP ${response.status}.`;
}

function notice(text) { at("notice").textContent = text; at("notice").hidden = false; }

function clear() {
  at("notice").hidden = at("sources").hidden = answer.hidden = true;
  answer.textContent = "";
  list.replaceChildren();
}

function busy(yes) {
  at("ask").disabled = yes;
  at("stop").hidden = !yes;
  at("state").textContent = yes ? "Reading and writing…" : "";
  answer.setAttribute("aria-busy", String(yes));
}
