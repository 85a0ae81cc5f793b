// What every page has: who is signed in, the menu, signing out. A page waits for `whoever()` before it asks for anything.

import { get, json, toTheDoor } from "./api.js";
import { at, show } from "./dom.js";

at("menu").addEventListener("click", () => {
  const open = at("menu").getAttribute("aria-expanded") !== "true";
  at("menu").setAttribute("aria-expanded", String(open));
});

at("sign-out").addEventListener("click", async () => {
  sessionStorage.clear();
  await json("DELETE", "/v1/session").catch(() => {});
  location.assign("/");
});

export async function whoever() {
  let who;
  try {
    who = await get("/v1/session");
  } catch (error) {
    if (error.status === 401) { toTheDoor(); return new Promise(() => {}); }
    throw error;
  }
  at("who").textContent = who.name;
  if (who.dagster_url) {
    at("dagster").href = who.dagster_url;
    show(at("dagster"));
  }
  const rank = { read: 0, write: 1, admin: 2 };
  who.may = (scope) => Math.max(...who.scopes.map((one) => rank[one] ?? -1)) >= rank[scope];
  return who;
}
