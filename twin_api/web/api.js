// Asking the API: JSON, event streams, and what went wrong, as a sentence. The session is a cookie that no script sees.

export class Problem extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

const OWN_PAGE = { "X-Twin-Page": "1" }; // what another site cannot send: see twin_api/cookies.py

export async function ask(method, path, body, { signal } = {}) {
  const json = body === undefined || body instanceof FormData ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, {
      method, signal, headers: { ...OWN_PAGE, ...json },
      body: body === undefined || body instanceof FormData ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is `twin up` running?", 0);
  }
  if (response.ok) return response;
  if (response.status === 401 && path !== "/v1/session") toTheDoor();
  throw new Problem(await sentence(response), response.status);
}

export async function json(method, path, body, options) {
  const response = await ask(method, path, body, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => json("GET", path, undefined, options);
export const post = (path, body, options) => json("POST", path, body, options);

export function toTheDoor() {
  location.assign(`/?next=${encodeURIComponent(location.pathname + location.search)}`);
}

async function sentence(response) {
  const problem = await response.json().catch(() => null);
  const fields = (problem?.errors || []).map((one) => [one.key, one.message].filter(Boolean).join(": "));
  const detail = fields.length ? `Please check ${fields.join("; ")}.` : problem?.detail;
  const wait = Number(response.headers.get("Retry-After"));
  const when = wait ? ` Try again in ${wait === 1 ? "a second" : `${wait} seconds`}.` : "";
  return (detail || `The server answered with HTTP ${response.status}.`) + (detail?.includes("Try again") ? "" : when);
}

// Every event of a stream as {event, data}. Comments, which say "still here", are left out.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "", ended = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      ended = done;
      if (done) return;
      held += value.replaceAll("\r\n", "\n");
      for (let end; (end = held.indexOf("\n\n")) >= 0; held = held.slice(end + 2)) {
        const found = parsed(held.slice(0, end));
        if (found) yield found;
      }
    }
  } finally {
    if (!ended) reader.cancel().catch(() => {}); // who stops listening says so, which ends the work
  }
}

function parsed(frame) {
  let event = "message";
  const data = [];
  for (const line of frame.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { event, data: data.join("\n") } : null;
}

// Look again until it is as wanted, a little less often each time.
export async function until(look, wanted, { signal, seen = () => {} } = {}) {
  for (let pause = 700; ; pause = Math.min(pause * 1.25, 5000)) {
    const found = await look();
    seen(found);
    if (wanted(found)) return found;
    await new Promise((go, stop) => {
      const timer = setTimeout(go, pause);
      signal?.addEventListener("abort", () => { clearTimeout(timer); stop(signal.reason); }, { once: true });
    });
  }
}
