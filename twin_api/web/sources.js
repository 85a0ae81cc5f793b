// Sources: adding a link, importing an export, and watching what is collected, item by item.

import { ask, events, get, json, post, until } from "./api.js";
import { at, busy, day, el, ending, minute, number, place, plural, problem, put, say, show } from "./dom.js";
import { whoever } from "./shell.js";

const adding = at("add"), importing = at("import"), wrong = at("problem"), SHOWN = 40;
const cards = new Map(); // source id -> Card
let who = null;

adding.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.submitter, adding, async () => {
    const mails = adding.identities.value.split(/[\s,;]+/).filter(Boolean);
    const made = await post("/v1/sources", {
      locator: adding.locator.value.trim(), mine: adding.mine.checked, schedule: adding.schedule.value || null,
      ...(mails.length ? { options: { identities: mails } } : {}),
    });
    adding.reset();
    say(`Added: ${made.locator}. It is collected now.`);
    await list();
    cards.get(made.id)?.collect();
  });
});

const drop = document.querySelector(".drop");
for (const name of ["dragenter", "dragover"]) importing.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) importing.addEventListener(name, () => drop.classList.remove("over"));
importing.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) { importing.file.files = event.dataTransfer.files; named(); }
});
importing.file.addEventListener("change", named);
function named() { drop.querySelector("span").textContent = importing.file.files[0]?.name || "Drop a file here, or choose one"; }

importing.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.submitter, importing, async () => {
    const form = new FormData();
    if (importing.as.value.trim()) form.append("as", importing.as.value.trim());
    form.append("mine", String(importing.mine.checked));
    form.append("file", importing.file.files[0]);
    const made = await upload(form);
    importing.reset();
    named();
    say("Received. It is imported now.");
    await imports();
    watchImport(made.id);
  });
});

// XMLHttpRequest, because fetch does not say how much of a large file is sent.
function upload(form) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest(), bar = at("sent");
    request.open("POST", "/v1/imports");
    request.setRequestHeader("X-Twin-Page", "1");
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; });
    request.addEventListener("load", () => {
      show(bar, false);
      let told = null;
      try { told = JSON.parse(request.responseText); } catch { /* said below */ }
      if (request.status < 300 && told) done(told);
      else fail(new Error(told?.detail || `The server answered with HTTP ${request.status}.`));
    });
    request.addEventListener("error", () => { show(bar, false); fail(new Error("The server broke off. Is the file larger than it takes?")); });
    bar.value = 0;
    show(bar);
    request.send(form);
  });
}

const STATE = { requested: "waits for the next run", collecting: "is being read", done: "imported", refused: "refused" };

async function imports() {
  const found = (await get("/v1/imports?limit=5")).imports;
  put(at("imports-list"), ...found.map((one) => el("li", {}, el("div.key-row", {},
    el("div", {}, el("strong", {}, one.name), el("span.hint", {}, ` ${size(one.bytes)} · ${minute(one.requested_at)}`), one.problem ? el("p.alarm", {}, one.problem) : null),
    el(`span.tag${one.state === "refused" ? ".bad" : ""}`, { "aria-busy": String(one.state !== "done" && one.state !== "refused") }, STATE[one.state] || one.state)))));
  show(at("imports"), found.length > 0);
  return found;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

async function watchImport(id) {
  try {
    const watched = new Set();
    const done = await until(() => get(`/v1/imports/${id}`), (one) => ["done", "refused"].includes(one.state), {
      seen: async (one) => {
        await imports();
        if (one.collect_ids.some((request) => !watched.has(request))) {
          one.collect_ids.forEach((request) => watched.add(request));
          await list();
          one.source_ids.forEach((source) => cards.get(source)?.watch(one.collect_ids));
        }
      },
    });
    await list();
    say(done.state === "done" ? `Imported: ${done.name}.` : `Refused: ${done.problem}`);
  } catch (error) { problem(wrong, error); }
}

// One place, how it stands, and its ledger.
class Card {
  constructor() {
    this.element = el("li.card");
    this.ledger = el("ul.ledger.plain", { hidden: true, role: "log", "aria-label": "Items, the latest first", tabindex: "0" });
    this.about = el("div");
    this.wrong = el("p.problem", { role: "alert", hidden: true });
    this.progress = el("p.hint", { role: "status" });
    this.tools = el("p.row");
    this.element.append(this.about, this.progress, this.wrong, this.ledger, this.tools);
  }

  fill(source) {
    this.source = source;
    const run = source.last_run;
    const share = source.coverage === null ? null : `${Math.round(source.coverage * 100)} %`;
    put(this.about,
      el("p", {}, el("span.tag", {}, source.platform), source.paused ? el("span.tag.warn", {}, "paused") : null, run?.failed || run?.error ? el("span.tag.bad", {}, "not all was read") : null),
      el("h3", {}, name(source.locator)),
      el("p.hint", {}, [`${plural(source.held, "item")} held${source.own_count ? ` of ${number(source.own_count)} (${share})` : ""}`, source.last_success_at ? `last read ${minute(source.last_success_at)}` : "never read", source.paused ? null : source.next_run_at ? `next ${minute(source.next_run_at)}` : "when you ask"].filter(Boolean).join(" · ")),
      ...source.alarms.map((alarm) => el("p.alarm", {}, `${alarm.said}.`)),
      run?.error ? el("p.alarm", {}, run.error) : null,
      run ? counts(run) : null,
    );
    const write = who.may("write");
    put(this.tools,
      ...(write ? [el("button.quiet", { type: "button", onclick: () => this.collect() }, "Collect now"),
        el("button.quiet", { type: "button", onclick: (event) => this.pause(event.currentTarget) }, source.paused ? "Resume" : "Pause")] : []),
      run ? el("button.quiet", { type: "button", "aria-expanded": String(!this.ledger.hidden), onclick: (event) => this.items(event.currentTarget) }, "Items") : "",
    );
  }

  async pause(button) {
    await busy(button, this.wrong, async () => {
      await json("PATCH", `/v1/sources/${this.source.id}`, { paused: !this.source.paused });
      await list();
    });
  }

  // What became of each item of the last run, what failed first.
  async items(button) {
    if (!this.ledger.hidden) { this.shut(button); return; }
    await busy(button, this.wrong, async () => {
      const found = await get(`/v1/sources/${this.source.id}/items?limit=100`);
      put(this.ledger, ...found.items.map(entry));
      if (!found.items.length) put(this.ledger, el("li", {}, "Nothing was there."));
      show(this.ledger);
      this.element.classList.add("wide");
      button.setAttribute("aria-expanded", "true");
    });
  }

  shut(button) {
    show(this.ledger, false);
    this.element.classList.remove("wide");
    button.setAttribute("aria-expanded", "false");
  }

  async collect() {
    try {
      problem(this.wrong, null);
      const { requests } = await post("/v1/collect", { source_ids: [this.source.id] });
      await this.watch(requests.map((one) => one.id));
    } catch (error) { problem(this.wrong, error); }
  }

  // The ledger as it is written, until every request has ended.
  async watch(requests) {
    if (!requests.length) return;
    this.progress.textContent = "Asked for; the next run begins within half a minute…";
    this.element.classList.add("wide");
    put(this.ledger);
    show(this.ledger);
    try {
      const asking = new URLSearchParams(requests.map((id) => ["request_id", id]));
      for await (const { event, data } of events(await ask("GET", `/v1/collect/events?${asking}`))) {
        const told = JSON.parse(data);
        if (event === "state") this.progress.textContent = told.state === "requested" ? "Asked for; the next run begins within half a minute…" : told.state === "collecting" ? `Reading… ${summary(told.run)}` : `Done: ${summary(told.run)}`;
        else if (event === "items") {
          this.ledger.prepend(...told.items.map(entry).reverse());
          while (this.ledger.childElementCount > SHOWN * 5) this.ledger.lastElementChild.remove();
        } else if (event === "error") throw new Error(told.detail);
        else if (event === "done") break;
      }
      await list();
      say(`Collected: ${this.source.locator}.`);
    } catch (error) { problem(this.wrong, error); }
  }
}

// An export is called after its account, a place on the web by its address without what all addresses have.
const name = (locator) => (locator.startsWith("export:") ? `${locator.slice(7)}, imported` : place(locator, locator.replace(/^https?:\/\//, "").replace(/\/$/, "")));

const KINDS = ["fetched", "unchanged", "skipped", "failed", "deleted"];
const summary = (run) => (run ? KINDS.filter((kind) => run[kind]).map((kind) => `${number(run[kind])} ${kind}`).join(", ") || "nothing was there" : "");
const counts = (run) => el("ul.counts", { "aria-label": `Last run, ${day(run.started_at)}` }, ...KINDS.filter((kind) => run[kind]).map((kind) => el("li", {}, el("b", {}, number(run[kind])), ` ${kind}`)));

function entry(item) {
  return el("li", {}, el(`span.outcome.${item.outcome}`, {}, item.outcome),
    el("span", {}, item.document_id && item.outcome !== "deleted" ? el("a", { href: `/documents?id=${item.document_id}`, title: item.location }, ending(item.location)) : ending(item.location)),
    item.reason ? el("span.hint", {}, item.reason) : null);
}

async function list() {
  const found = (await get("/v1/sources")).sources;
  for (const source of found) {
    if (!cards.has(source.id)) {
      cards.set(source.id, new Card());
      at("list").prepend(cards.get(source.id).element);
    }
    cards.get(source.id).fill(source);
  }
  show(at("empty"), !found.length);
  show(at("collect-all"), found.length > 1 && who.may("write"));
}

at("collect-all").addEventListener("click", (event) => busy(event.currentTarget, wrong, async () => {
  const { requests } = await post("/v1/collect", {});
  say(`Asked for: ${plural(requests.length, "source")}.`);
  for (const one of requests) cards.get(one.source_id)?.watch([one.id]);
}));

who = await whoever();
if (!who.may("write")) for (const form of [adding, importing]) { problem(form, new Error("This key may read only. Adding needs a key of the scope `write`.")); form.querySelector("button[type=submit]").disabled = true; }
try {
  await list();
  for (const one of await imports()) if (one.state === "requested" || one.state === "collecting") watchImport(one.id);
} catch (error) { problem(wrong, error); }
