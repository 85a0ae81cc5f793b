// Keys: who else may ask, with what right and until when. A new key is shown once.

import { get, json, post } from "./api.js";
import { asked, at, busy, day, el, problem, put, say, show } from "./dom.js";
import { copy } from "./feedback.js";
import { whoever } from "./shell.js";

const form = at("form"), wrong = at("problem"), made = at("made");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.submitter, wrong, async () => {
    const days = form.expires.value;
    const { secret, key } = await post("/v1/keys", { name: form.name.value.trim(), scopes: [form.scope.value], ...(days ? { expires_in_days: Number(days) } : {}) });
    form.reset();
    put(made,
      el("h2", {}, `The key of ${key.name}`),
      el("p", {}, "Copy it now: it is shown this once, and only its hash is kept."),
      el("code", { id: "secret" }, secret),
      el("p.row", {}, el("button", { type: "button", onclick: () => copy(secret, "Copied.") }, "Copy"), el("button.quiet", { type: "button", onclick: () => { put(made); show(made, false); } }, "I have it")),
    );
    show(made);
    made.focus();
    await list();
  });
});

async function list() {
  const rows = [];
  for (let cursor = null; ;) {
    const page = await get(`/v1/keys?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    rows.push(...page.keys.map(row));
    cursor = page.next_cursor;
    if (!cursor || rows.length >= 500) break;
  }
  put(at("list"), ...rows);
}

function row(key) {
  const until = key.state === "revoked" ? `revoked ${day(key.revoked_at)}` : key.expires_at ? `until ${day(key.expires_at)}` : "until revoked";
  return el("li", {}, el("div.key-row", {},
    el("div", {}, el("strong", {}, key.name), " ", el("code", {}, `${key.prefix}…`),
      el("p.hint", {}, `${key.scopes.join(", ")} · made ${day(key.created_at)} · ${until}`)),
    el("p.row", {}, key.state === "active" ? null : el("span.tag.plain-tag", {}, key.state), key.current ? el("span.tag", {}, "you are signed in with it") : null,
      key.state === "active" ? el("button.danger.quiet", { type: "button", "aria-label": `Revoke ${key.name}`, onclick: (event) => revoke(key, event.currentTarget) }, "Revoke…") : null)));
}

async function revoke(key, button) {
  at("revoke-what").textContent = `${key.name} (${key.prefix}…) opens nothing any more, at once and for good.${key.current ? " It is the one you are signed in with: you will be signed out." : ""}`;
  if ((await asked(at("revoke"))) !== "revoke") return;
  await busy(button, wrong, async () => {
    await json("DELETE", `/v1/keys/${key.id}`);
    say(`Revoked: ${key.name}.`);
    if (key.current) location.assign("/");
    else await list();
  });
}

const who = await whoever();
try {
  if (!who.may("admin")) throw new Error("Keys are seen and made with a key of the scope `admin`.");
  await list();
} catch (error) {
  problem(wrong, error);
  if (!who.may("admin")) show(form, false);
}
