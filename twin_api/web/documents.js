// Documents: what there is of the author; reading one, where it comes from, and having it forgotten.

import { get, json, post, until } from "./api.js";
import { asked, at, busy, day, el, ending, minute, number, place, plural, problem, put, say, show } from "./dom.js";
import { markdown } from "./markdown.js";
import { whoever } from "./shell.js";

const form = at("form"), list = at("list"), reader = at("reader"), wrong = document.querySelector("main > .problem");
let cursor = null, who = null, looking = null;

form.addEventListener("submit", (event) => { event.preventDefault(); look(); });
form.category.addEventListener("change", () => look());
at("more").addEventListener("click", (event) => busy(event.currentTarget, wrong, () => look(true)));
addEventListener("popstate", () => open(new URLSearchParams(location.search).get("id")));

// What was asked last is what is shown: a search that is still under way is given up, never waited for.
async function look(further = false) {
  looking?.abort();
  const { signal } = looking = new AbortController();
  if (!further) { cursor = null; put(list); show(at("empty"), false); }
  list.setAttribute("aria-busy", "true");
  try {
    problem(wrong, null);
    if (form.where.value === "texts" && form.q.value.trim()) await passages(signal);
    else await titles(signal);
    nothing();
  } catch (error) { problem(wrong, error); }
  finally { if (looking.signal === signal) list.removeAttribute("aria-busy"); }
}

async function titles(signal) {
  const asking = new URLSearchParams({ limit: "30" });
  if (form.q.value.trim()) asking.set("q", form.q.value.trim());
  if (form.category.value) asking.set("category", form.category.value);
  if (cursor) asking.set("cursor", cursor);
  const page = await get(`/v1/documents?${asking}`, { signal });
  cursor = page.next_cursor;
  list.append(...page.documents.map(row));
  show(at("more"), cursor !== null);
}

async function passages(signal) {
  const categories = form.category.value ? [form.category.value] : [];
  const found = await post("/v1/search", { query: form.q.value.trim(), k: 30, filters: { categories } }, { signal });
  const best = new Map();
  for (const one of found.passages) if (!best.has(one.document_id)) best.set(one.document_id, one);
  list.append(...[...best.values()].map((one) => row({ ...one, id: one.document_id, passage: one })));
  show(at("more"), false);
}

function row(one) {
  const about = [one.category, one.platform, day(one.written_at), one.words ? plural(one.words, "word") : null, one.locations > 1 ? `in ${one.locations} places` : null];
  const query = one.passage ? `&from=${one.passage.start}&to=${one.passage.end}&revision=${one.passage.revision_id}` : "";
  return el("li", {}, el("a.row-link", {
    href: `/documents?id=${one.id}${query}`, "data-id": one.id,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      history.pushState(null, "", event.currentTarget.href);
      open(one.id);
    },
  }, el("strong", {}, one.title || first(one) || one.location), el("span.hint", {}, about.filter(Boolean).join(" · ")), one.passage ? el("span.extract", {}, extract(one.passage.text)) : null));
}

// The beginning of a passage without the marks of Markdown, up to a whole word.
function extract(text) {
  const plain = text.replace(/```\w*|[`*_#>]|^\s*[-+] /gm, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/\s+/g, " ").trim();
  return plain.length > 200 ? `${plain.slice(0, plain.lastIndexOf(" ", 200))}…` : plain;
}

// A post has no title: its address says at least where it is.
const first = (one) => (one.location || "").split("/").pop();

function nothing() {
  const none = !list.childElementCount;
  show(at("empty"), none);
  put(at("empty"), el("p", {}, ...(form.q.value || form.category.value
    ? ["Nothing fits. Try other words, or look in what the texts say."]
    : ["Nothing is here yet. ", el("a", { href: "/sources" }, "Add a source"), " and collect it."])));
}

async function open(id) {
  for (const link of list.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  list.querySelector(`[data-id="${CSS.escape(id || "")}"]`)?.setAttribute("aria-current", "true");
  if (!id) { show(reader, false); return; }
  try {
    problem(wrong, null);
    const [detail, read] = await Promise.all([get(`/v1/documents/${encodeURIComponent(id)}`), get(`/v1/documents/${encodeURIComponent(id)}/text`).catch(() => null)]);
    shown(detail, read);
  } catch (error) { show(reader, false); problem(wrong, error); }
}

function shown({ document: one, source_locator: source, locations, revisions }, read) {
  const asking = new URLSearchParams(location.search);
  const about = [one.category, day(one.written_at), one.words ? plural(one.words, "word") : null].filter(Boolean).join(" · ");
  const words = el("div.words", {}, read ? text(read, asking, one.category) : el("p.hint", {}, "It was collected and not read yet. The next run does."));
  const forget = el("button.danger.quiet", { type: "button", onclick: (event) => forgetting(one, event.currentTarget) }, "Forget…");
  put(reader,
    el("header.head", {}, el("div", {}, el("h2", {}, one.title || first(one) || "Untitled"), el("p.hint", {}, about)),
      el("button.quiet", { type: "button", onclick: () => { history.pushState(null, "", "/documents"); const link = list.querySelector("[aria-current]"); open(null); link?.focus(); } }, "Close")),
    words,
    el("details.more", {}, el("summary", {}, "Where it comes from"),
      el("ul.plain", {}, ...locations.map((at_) => el("li", {}, `${at_.platform}: `, place(at_.location), el("span.hint", {}, ` ${at_.live ? "there" : "gone"}, last seen ${day(at_.last_seen_at)}; ${at_.joined_by.replaceAll("_", " ")}`)))),
      el("p.hint", {}, `Source: ${ending(source)}. ${plural(revisions.length, "state")} kept, the latest of ${minute(revisions[0]?.fetched_at)}.`)),
    el("p.problem", { role: "alert", hidden: true }),
    el("div.receipt", { "aria-live": "polite" }),
    who?.may("write") ? el("p.row", {}, forget) : null,
  );
  show(reader);
  reader.focus({ preventScroll: true });
  const mark = reader.querySelector("mark");
  reader.scrollTop = 0;
  if (mark && getComputedStyle(reader).overflowY === "auto") reader.scrollTop = Math.max(0, mark.offsetTop - reader.offsetTop - 90);
  else if (mark) mark.scrollIntoView({ block: "center" });
  else if (matchMedia("(max-width: 60rem)").matches) reader.scrollIntoView({ block: "start" });
}

// A cited passage is marked where it stands, as long as it is the same revision; the rest is Markdown, or code as it is.
function text(read, asking, category) {
  const from = Number(asking.get("from")), to = Number(asking.get("to"));
  const points = [...read.text]; // offsets are of characters, not of JavaScript's halves of them
  const render = category === "code" ? (part) => el("pre", { tabindex: "0" }, el("code", {}, part)) : (part) => markdown(part);
  if (!asking.get("to") || asking.get("revision") !== read.revision_id || !(to > from)) return render(read.text);
  const part = (start, end) => points.slice(start, end).join("");
  const marked = el("mark.passage-mark", {}, render(part(from, to)));
  const made = document.createDocumentFragment();
  made.append(render(part(0, from)), marked, render(part(to, points.length)));
  return made;
}

async function forgetting(one, button) {
  at("forget-what").textContent = one.title || one.location || "";
  if ((await asked(at("forget"))) !== "forget") return;
  await busy(button, reader, async () => {
    const request = await json("DELETE", `/v1/documents/${one.id}`);
    const receipt = reader.querySelector(".receipt");
    put(receipt, el("p", {}, "Asked for. It is forgotten by the next run, usually within a minute; this page waits for it."));
    say("Asked for. It is being forgotten.");
    const done = await until(() => get(`/v1/forget-requests/${request.id}`), (state) => state.state === "done", {
      seen: (state) => { if (state.problem) put(receipt, el("p", {}, `Not done yet, and tried again: ${state.problem}`)); },
    });
    button.remove();
    put(reader.querySelector(".words"));
    put(receipt, el("h3", {}, "Forgotten"), el("table", {},
      el("thead", {}, el("tr", {}, el("th", {}, "Where"), el("th.number", {}, "before"), el("th.number", {}, "now"))),
      el("tbody", {}, ...Object.entries(done.receipt || {}).filter(([, count]) => count.before).map(([store, count]) => el("tr", {}, el("td", {}, store), el("td.number", {}, number(count.before)), el("td.number", {}, number(count.after ?? 0)))))));
    list.querySelector(`[data-id="${one.id}"]`)?.closest("li").remove();
    say("Forgotten. The receipt says from where.");
  });
}

who = await whoever();
await look();
const wanted = new URLSearchParams(location.search).get("id");
if (wanted) await open(wanted);
