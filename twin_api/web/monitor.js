// Monitor: how long answers take, what they cost, how they end, what is said of them, and whether the writing moved on.

import { get } from "./api.js";
import { overTime, rounded } from "./charts.js";
import { at, busy, el, minute, number, plural, problem, put, show } from "./dom.js";
import { whoever } from "./shell.js";

const wrong = at("problem");
let cursor = null;

at("days").addEventListener("change", () => figures());
at("more").addEventListener("click", (event) => busy(event.currentTarget, wrong, () => latest()));

async function figures() {
  await busy(at("days"), wrong, async () => {
    const found = await get(`/v1/monitor?days=${at("days").value}`);
    const all = every(found), by = new Map(found.days.map((one) => [one.day, one]));
    const each = (pick) => all.map((day) => (by.has(day) ? pick(by.get(day)) ?? null : null));
    const count = (pick) => all.map((day) => (by.has(day) ? pick(by.get(day)) || 0 : 0));
    const sum = (pick) => found.days.reduce((total, one) => total + (pick(one) || 0), 0);
    show(at("empty"), !found.days.length);
    put(at("figures"), ...numbers(found, sum));
    put(at("charts"), ...(found.days.length ? [
      overTime("Asked and drafted", all, [{ name: "answers", values: count((one) => one.answers) }, { name: "drafts", values: count((one) => one.drafts) }], { stacked: true }),
      latency(found, all, each),
      overTime("How it ended", all, outcomes(found, count), { stacked: true }),
      overTime("What was said of it", all, [{ name: "good", values: count((one) => one.up) }, { name: "edited", values: count((one) => one.edited) }, { name: "not good", values: count((one) => one.down) }], { stacked: true }),
      overTime("Tokens", all, [{ name: "read", values: count((one) => one.prompt_tokens) }, { name: "written", values: count((one) => one.completion_tokens) }], { stacked: true }),
      ...(sum((one) => one.cost) ? [overTime("Cost", all, [{ name: "cost", values: count((one) => one.cost) }], { stacked: true })] : []),
    ] : []), drift(found.learning));
  });
}

// Every day of the time in UTC, also those without an answer.
function every(found) {
  const days = [];
  for (let day = new Date(`${found.since.slice(0, 10)}T00:00:00Z`); day <= new Date(found.until); day.setUTCDate(day.getUTCDate() + 1)) days.push(day.toISOString().slice(0, 10));
  return days;
}

// The step that ends an answer is its latest one, whatever the steps are called.
function last(one) {
  const steps = Object.values(one.steps);
  return steps.length ? steps.reduce((a, b) => (b.p50 > a.p50 ? b : a)) : null;
}

function latency(found, all, each) {
  return overTime("Seconds until it was written", all, [{ name: "half of them", values: each((one) => last(one)?.p50) }, { name: "95 of 100", values: each((one) => last(one)?.p95) }], { unit: " s" });
}

const ENDED = { answered: "answered", retrieval_only: "passages only", interrupted: "stopped", failed: "failed" };
const outcomes = (found, count) => Object.keys(ENDED).map((kind) => ({ name: ENDED[kind], values: count((one) => one.outcomes[kind]) }));

function numbers(found, sum) {
  const asked = sum((one) => one.answers) + sum((one) => one.drafts), words = sum((one) => one.up) + sum((one) => one.down);
  const slow = found.days.map(last).filter(Boolean);
  const figure = (value, name) => el("div.card.figure", {}, el("b", {}, value), el("span.hint", {}, name));
  return !asked ? [] : [
    figure(number(asked), "answers and drafts"),
    figure(slow.length ? `${rounded(slow.reduce((total, one) => total + one.p50 * one.answers, 0) / slow.reduce((total, one) => total + one.answers, 0))} s` : "–", "until written, usually"),
    figure(number(sum((one) => one.prompt_tokens) + sum((one) => one.completion_tokens)), "tokens"),
    figure(sum((one) => one.cost) ? rounded(sum((one) => one.cost)) : "0", "cost"),
    figure(words ? `${Math.round((sum((one) => one.up) / words) * 100)} %` : "–", words ? `good, of ${number(words)} judged` : "none judged yet"),
  ];
}

function drift({ due, reason, new_examples: fresh, drift: found }) {
  return el("section.card.chart", { "aria-labelledby": "drift" }, el("h2", { id: "drift" }, "Learning again"),
    el("p", {}, el(`span.tag${due ? ".warn" : ""}`, {}, due ? "due" : "not due"), " ", reason),
    el("p.hint", {}, `${plural(fresh, "example")} that the last adapter did not learn.`),
    found ? el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "Drift of your newest writing"), el("th.number", {}, "found"), el("th.number", {}, "by chance up to"))),
      el("tbody", {},
        el("tr", {}, el("td", {}, "shift of meaning"), el("td.number", {}, rounded(found.shift)), el("td.number", {}, rounded(found.shift_by_chance))),
        el("tr", {}, el("td", {}, "change of lengths"), el("td.number", {}, rounded(found.length_psi)), el("td.number", {}, rounded(found.length_by_chance))),
        el("tr", {}, el("td", {}, found.moved ? "It has moved on." : "It has not moved on."), el("td.number", {}, `p ${rounded(found.p)}`), el("td.number", {}, "")))) : el("p.hint", {}, "Drift is measured once an adapter was trained."));
}

async function latest() {
  const asking = new URLSearchParams({ limit: "15" });
  if (cursor) asking.set("cursor", cursor);
  const found = await get(`/v1/traces?${asking}`);
  cursor = found.next_cursor;
  at("latest").append(...found.traces.map(trace));
  if (!at("latest").childElementCount) at("latest").append(el("li.hint", {}, "Nothing yet. ", el("a", { href: "/ask" }, "Ask something.")));
  show(at("more"), cursor !== null);
}

function trace(one) {
  const about = [one.kind, minute(one.at), one.seconds === null ? null : `${rounded(one.seconds)} s`, one.completion_tokens === null ? null : plural(one.completion_tokens, "token"), one.model];
  const details = el("details.more", {}, el("summary", {}, one.question || "(its text was not kept)"), el("div"));
  details.addEventListener("toggle", async () => {
    const box = details.lastElementChild;
    if (!details.open || box.childElementCount) return;
    try { box.append(...whole(await get(`/v1/traces/${one.id}`))); } catch (error) { box.append(el("p.problem", { role: "alert" }, error.message)); }
  });
  return el("li", {}, details, el("p.hint", {}, about.filter(Boolean).join(" · "), " ",
    el(`span.tag${one.outcome === "failed" ? ".bad" : one.outcome === "answered" ? "" : ".warn"}`, {}, ENDED[one.outcome]),
    one.verdict ? el(`span.tag${one.verdict === "down" ? ".bad" : ""}`, {}, one.verdict === "up" ? "good" : "not good") : null,
    one.edited ? el("span.tag", {}, "edited") : null));
}

function whole(one) {
  const steps = Object.entries(one.timings).map(([step, seconds]) => `${step} ${rounded(seconds)} s`).join(", ");
  return [
    el("p", {}, one.answer || "(its text was not kept)"),
    one.error ? el("p.alarm", {}, one.error) : null,
    one.queries.length ? el("p.hint", {}, `Searched also for: ${one.queries.join("; ")}`) : null,
    el("p.hint", {}, [`prompt ${one.prompt_version}`, one.adapter_id ? `adapter ${one.adapter_id}` : "no adapter", steps].filter(Boolean).join(" · ")),
    el("ul.plain", {}, ...one.passages.map((passage) => el("li", {}, el("span.label", {}, String(passage.label)), " ", el("a", { href: `/documents?id=${passage.document_id}&from=${passage.start}&to=${passage.end}&revision=${passage.revision_id}` }, passage.title || passage.location || "a passage"), passage.cited ? " cited" : ""))),
  ].filter(Boolean);
}

const who = await whoever();
await figures();
if (who.may("write")) await busy(at("days"), wrong, latest);
else at("latest").append(el("li.hint", {}, "Reading what was asked needs a key of the scope `write`."));
