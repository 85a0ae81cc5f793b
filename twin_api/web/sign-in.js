// The door: a key becomes a session, and the page that was asked for opens.

import { get, post } from "./api.js";
import { at, busy } from "./dom.js";

const PAGES = new Set(["/write", "/ask", "/sources", "/documents", "/models", "/monitor", "/keys"]);

// Only to a page of ours: an address that came from elsewhere is no reason to go elsewhere.
function next() {
  const wanted = new URLSearchParams(location.search).get("next") || "/write";
  const url = new URL(wanted, location.origin);
  return url.origin === location.origin && PAGES.has(url.pathname) ? url.pathname + url.search : "/write";
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.submitter || at("form").querySelector("button"), at("form"), async () => {
    await post("/v1/session", { key: at("key").value.trim() });
    location.assign(next());
  });
});

// Until here nobody listens, and a key that was sent by the form itself would stand in an address.
at("form").querySelector("button").disabled = false;

get("/v1/session").then(() => location.replace(next()), () => at("key").focus());
