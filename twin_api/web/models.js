// Models: what was trained, how it measures beside what serves, what you think without knowing which is which; then you decide.

import { get, post, until } from "./api.js";
import { differences, rounded } from "./charts.js";
import { asked, at, busy, day, el, minute, plural, problem, put, say, show } from "./dom.js";
import { markdown } from "./markdown.js";
import { whoever } from "./shell.js";

const wrong = at("problem"), detail = at("detail");
let who = null, opened = null;

const GOOD = new Set(["better", "fresher"]);
const STATE = { serving: "answers now", previous: "to go back to", starting: "is being brought up", failed: "did not come up", stopped: "stopped", withdrawn: "gone back from" };
const METRIC = { style: "style", style_embedding: "style embedding (not gated)", fit: "fit (bits per byte, less is better)", content: "content (0: as near as other matters of the author, 1: what the author wrote)", chrf: "chrF", bleu: "BLEU", rouge_l: "ROUGE-L", similarity: "similarity", grounding: "grounding", safety: "safety", copied_share: "copied, share", longest_copy: "longest copy, words", personal_data: "personal data", harm: "harm", judge: "taken for the author's by the judge (0.5: cannot be told apart; not gated)", judge_accuracy: "accuracy by the judge, 1 to 3 (for comparison only)", judge_style: "style by the judge, 1 to 3 (for comparison only)" };

async function list() {
  const found = (await get("/v1/adapters")).adapters;
  const serving = found.find((one) => one.deployment === "serving");
  at("serving").textContent = serving ? `v${serving.version} answers now.` : found.length ? "The base model answers. None of these serves yet." : "";
  put(at("list"), ...found.map(card));
  show(at("empty"), !found.length);
  show(at("rollback"), Boolean(serving) && who.may("admin"));
  if (opened) await open(found.find((one) => one.id === opened));
}

function card(one) {
  return el("li.card", { "data-adapter": one.id },
    el("p", {}, ...tags(one)),
    el("h3", {}, `v${one.version}`),
    el("p.hint", {}, `${one.kind.toUpperCase()} on ${one.base_model} · ${day(one.created_at)}`),
    ...one.reasons.slice(0, 3).map((reason) => el("p", {}, reason)),
    el("p.row", {}, el("button.quiet", { type: "button", onclick: () => { opened = one.id; open(one, true); } }, "Compare")),
  );
}

function tags(one) {
  return [
    one.deployment ? el(`span.tag${one.deployment === "failed" ? ".bad" : one.deployment === "serving" ? "" : ".plain-tag"}`, {}, STATE[one.deployment] || one.deployment) : null,
    one.tainted_at ? el("span.tag.bad", {}, "tainted: learnt what was forgotten") : null,
    one.deployment === "serving" ? null : el(`span.tag${GOOD.has(one.verdict) ? "" : one.verdict === "refused" || one.verdict === "not better" ? ".bad" : ".warn"}`, {}, one.verdict),
  ].filter(Boolean);
}

async function open(one, focus = false) {
  if (!one) { show(detail, false); return; }
  try {
    problem(wrong, null);
    const card_ = await get(`/v1/adapters/${encodeURIComponent(one.id)}/scorecard`).catch((error) => { if (error.status === 404) return null; throw error; });
    const pairs = card_?.samples ? await get(`/v1/adapters/${encodeURIComponent(one.id)}/samples`).catch((error) => error.status === 404 ? null : { trouble: error.message }) : null;
    put(detail,
      el("header.head", {}, el("div", {}, el("h2", {}, `v${one.version}`), el("p", {}, ...tags(one))),
        el("button.quiet", { type: "button", onclick: () => { opened = null; show(detail, false); at("list").querySelector(`[data-adapter="${CSS.escape(one.id)}"] button`)?.focus(); } }, "Close")),
      ...(one.tainted_at ? [el("p.alarm", {}, `A document that it learnt was forgotten on ${day(one.tainted_at)}. It may not serve; train again without it.`)] : []),
      ...(card_ ? measured(one, card_) : [el("p", {}, `It was never measured. Run `, el("code", {}, `twin evaluate --adapter v${one.version}`), ".")]),
      ...(pairs?.trouble ? [el("p.problem", { role: "alert" }, `The answers to compare cannot be shown. ${pairs.trouble}`)] : pairs ? [blind(one, card_, pairs)] : []),
      decide(one),
    );
    show(detail);
    if (focus) { detail.focus({ preventScroll: true }); detail.scrollIntoView({ block: "start" }); }
  } catch (error) { problem(wrong, error); }
}

function measured(one, card_) {
  const beside = card_.champion_version ? `the champion, v${card_.champion_version}` : "the base model";
  const NAMES = { base: "the base model", "other author": "another author's adapter", champion: `the champion, v${card_.champion_version}` };
  const order = ["champion", "base", ...Object.keys(card_.against)].filter((name, index, all) => card_.against[name] && all.indexOf(name) === index);
  return [
    el("p", {}, `Measured on ${plural(card_.documents, "held-out document")} on ${minute(card_.at)}, beside ${beside}. `,
      card_.report ? el("a", { href: `/v1/adapters/${encodeURIComponent(one.id)}/report`, target: "_blank", rel: "noopener" }, "The whole report ↗") : ""),
    el("div.charts", {}, ...order.map((rival) => differences(`v${one.version} minus ${NAMES[rival] || rival}`, card_.against[rival], card_.margins, "Mean and 95 % interval, each axis on its own scale. Green: better for certain. Dotted: how far a guardrail may fall."))),
    el("details.more", {}, el("summary", {}, "All figures"), figures(card_), ...card_.notes.map((note) => el("p.hint", {}, note))),
  ];
}

function figures(card_) {
  const systems = Object.keys(card_.figures);
  const metrics = Object.keys(METRIC).filter((metric) => systems.some((name) => card_.figures[name][metric] !== null && card_.figures[name][metric] !== undefined));
  return el("div.scroll", { tabindex: "0", role: "region", "aria-label": "All figures" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, ""), ...systems.map((name) => el("th.number", {}, name)))),
    el("tbody", {}, ...metrics.map((metric) => el("tr", {}, el("td", {}, METRIC[metric]), ...systems.map((name) => el("td.number", {}, rounded(metric === "fit" && card_.figures[name][metric] !== null ? -card_.figures[name][metric] : card_.figures[name][metric]))))))));
}

// Two answers, sides that mean nothing. Who won is said once all were judged.
function blind(one, card_, { evaluation_id: evaluation, samples }) {
  const box = el("section", { "aria-labelledby": "blind" });
  let votes = card_.votes;
  function draw(focus = false) {
    const next = samples.find((sample) => sample.better === null), judged = samples.filter((sample) => sample.better !== null).length;
    put(box, el("h3", { id: "blind", tabindex: "-1" }, "Which reads more like you?"), ...(next ? asking(next, judged) : told()));
    if (focus) box.querySelector("#blind").focus({ preventScroll: true });
  }
  function asking(sample, judged) {
    if (!who.may("write")) return [el("p.hint", {}, "Comparing needs a key of the scope `write`.")];
    const choose = (better) => el("button.quiet", { type: "button", onclick: (event) => vote(sample, better, event.currentTarget) }, { left: "The left one", right: "The right one", neither: "Neither" }[better]);
    return [
      el("p.hint", {}, `${judged + 1} of ${samples.length}. One is v${one.version}'s, the other what serves or served; which is which is said at the end. Votes stand beside the figures and are not learnt from, because these prompts are held out.`),
      el("p.question", {}, sample.prompt),
      el("div.pair", {}, ...["left", "right"].map((side) => el("div", {}, el("div.words", { tabindex: "0", role: "region", "aria-label": `The ${side} one` }, markdown(sample[side])), el("p.row", {}, choose(side))))),
      el("p.row", {}, choose("neither")),
      el("p.problem", { role: "alert", hidden: true }),
    ];
  }
  function told() {
    const other = card_.champion_version ? `the champion, v${card_.champion_version}` : "the base model";
    const again = el("button.quiet", { type: "button", onclick: () => { for (const sample of samples) sample.better = null; draw(true); } }, "Judge again");
    return [el("p.votes", {}, `Of ${samples.length}, you found v${one.version} better in ${votes.challenger}, ${other} in ${votes.other}, and neither in ${votes.neither}.`), who.may("write") ? el("p.row", {}, again) : ""];
  }
  async function vote(sample, better, button) {
    await busy(button, box, async () => {
      votes = await post(`/v1/adapters/${encodeURIComponent(one.id)}/votes`, { evaluation_id: evaluation, sample: sample.number, better });
      sample.better = better;
      draw(true);
    });
  }
  draw();
  return box;
}

function decide(one) {
  if (one.deployment === "serving") return el("p", {}, "It answers now.");
  if (!who.may("admin")) return el("p.hint", {}, "Deciding needs a key of the scope `admin`.");
  const unsure = one.verdict === "insufficient evidence", may = GOOD.has(one.verdict) || unsure;
  return el("section", { "aria-labelledby": "deciding" }, el("h3", { id: "deciding" }, "Your decision"),
    ...(may ? [] : [el("p.hint", {}, `The rule refuses it: ${one.reasons.join(" ")}`)]),
    el("p.row", {},
      may ? el("button", { type: "button", onclick: (event) => deciding(one, "approve", event.currentTarget, unsure) }, "Approve…") : null,
      el("button.quiet", { type: "button", onclick: (event) => deciding(one, "reject", event.currentTarget, true) }, "Reject…")),
    el("p.problem", { role: "alert", hidden: true }),
    el("p.outcome-of-decision", { role: "status" }));
}

async function deciding(one, verdict, button, needed) {
  const yes = verdict === "approve";
  at("decide-title").textContent = `${yes ? "Approve" : "Reject"} v${one.version}?`;
  at("decide-what").textContent = yes
    ? "It is brought up beside what answers now, asked two test prompts, and then answers. The rule looks at its figures twice more. You can roll back at once."
    : "It stays what it is, an adapter that serves nobody, and the reason is kept with it.";
  at("decide-yes").textContent = yes ? "Approve" : "Reject";
  at("reason").value = "";
  at("reason").required = needed;
  at("reason").placeholder = needed ? "Needed" : "If you want to say one";
  if ((await asked(at("decide"))) !== "yes") return;
  const reason = at("reason").value.trim(), where = button.closest("section");
  await busy(button, where, async () => {
    const made = await post(`/v1/adapters/${encodeURIComponent(one.id)}/${verdict}`, reason ? { reason } : {});
    await followed(made, one, where.querySelector(".outcome-of-decision"));
  });
}

async function followed(made, one, status) {
  status.textContent = "Decided, and recorded. It is carried out by the next run; this page waits for it.";
  const done = await until(() => get(`/v1/adapters/decisions/${made.id}`), (state) => state.state !== "requested", {
    seen: (state) => { if (state.problem) status.textContent = `Not carried out yet, and tried again: ${state.problem}`; },
  });
  await list();
  const words = done.state === "refused" ? `Refused when it was carried out: ${done.problem || "the rule says no now."}` : done.verdict === "approve" ? `v${one.version} answers now.` : `v${one.version} is rejected.`;
  say(words);
}

at("rollback").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  at("decide-title").textContent = "Roll back?";
  at("decide-what").textContent = "What answered before answers again, with the next question. What is gone back from must be approved again.";
  at("decide-yes").textContent = "Roll back";
  at("reason").required = false;
  show(at("reason"), false);
  show(document.querySelector('label[for="reason"]'), false);
  const said = await asked(at("decide"));
  show(at("reason"));
  show(document.querySelector('label[for="reason"]'));
  if (said !== "yes") return;
  await busy(button, wrong, async () => {
    const now = await post("/v1/adapters/rollback");
    await list();
    say(`${now.served_name} answers now.`);
  });
});

who = await whoever();
try { await list(); } catch (error) { problem(wrong, error); }
