// Markdown as elements. The text is a model's or a stranger's: no markup of its own survives, no image is loaded, and links
// lead to the web or to a mail and say where. One pass over the lines, one over the characters; nothing backtracks.

import { el } from "./dom.js";

const DEEPEST = 8;

// label(number) makes the element that stands for a citation like [3]; without it, or where it returns null, it stays text.
export function markdown(text, label = () => null) {
  const lines = String(text).replaceAll("\r\n", "\n").split("\n");
  const made = document.createDocumentFragment();
  made.append(...blocks(lines, label, 0));
  return made;
}

function blocks(lines, label, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) { at += 1; continue; }
    const fence = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) {
      const code = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence); at += 1) code.push(lines[at]);
      at += 1;
      made.push(el("pre", { tabindex: "0" }, el("code", {}, code.join("\n"))));
      continue;
    }
    const heading = /^ {0,3}(#{1,6}) +(.*)$/.exec(line);
    if (heading) {
      made.push(el(`h${Math.min(heading[1].length + 2, 6)}`, {}, ...inline(heading[2].replace(/ #+ *$/, ""), label)));
      at += 1;
      continue;
    }
    if (/^ {0,3}([-*_])( *\1){2,} *$/.test(line)) { made.push(el("hr")); at += 1; continue; }
    const quote = /^ {0,3}> ?/;
    if (quote.test(line) && depth < DEEPEST) {
      const inside = [];
      for (; at < lines.length && quote.test(lines[at]); at += 1) inside.push(lines[at].replace(quote, ""));
      made.push(el("blockquote", {}, ...blocks(inside, label, depth + 1)));
      continue;
    }
    const item = /^( {0,3})([-*+]|\d{1,9}[.)]) +/.exec(line);
    if (item && depth < DEEPEST) {
      const [list, next] = listed(lines, at, item, label, depth);
      made.push(list);
      at = next;
      continue;
    }
    const paragraph = [];
    for (; at < lines.length && lines[at].trim() && !(paragraph.length && begins(lines[at])); at += 1) paragraph.push(lines[at]);
    made.push(el("p", {}, ...inline(paragraph.join("\n"), label)));
  }
  return made;
}

const begins = (line) => /^ {0,3}(#{1,6} |> ?|`{3}|~{3}|[-*+] +|\d{1,9}[.)] +)/.test(line);

function listed(lines, from, first, label, depth) {
  const ordered = /\d/.test(first[2]);
  const same = ordered ? /^ {0,3}(\d{1,9})[.)] +/ : /^ {0,3}[-*+] +/;
  const list = el(ordered ? "ol" : "ul");
  if (ordered && Number.parseInt(first[2], 10) !== 1) list.start = Number.parseInt(first[2], 10);
  let at = from;
  while (at < lines.length) {
    const mark = same.exec(lines[at]);
    if (!mark) break;
    const inside = [lines[at].slice(mark[0].length)];
    for (at += 1; at < lines.length && (/^ {2,}\S/.test(lines[at]) || (!lines[at].trim() && /^ {2,}\S/.test(lines[at + 1] || ""))); at += 1) {
      inside.push(lines[at].replace(/^ {1,4}/, ""));
    }
    const content = blocks(inside, label, depth + 1);
    // One paragraph alone needs no paragraph.
    list.append(el("li", {}, ...(content.length === 1 && content[0].tagName === "P" ? content[0].childNodes : content)));
    while (at < lines.length && !lines[at].trim() && same.test(lines[at + 1] || "")) at += 1;
  }
  return [list, at];
}

const SPECIAL = /[\\`*_[!<h\n]/;

function inline(text, label, depth = 0) {
  const made = [];
  let plain = "";
  const flush = () => { if (plain) made.push(plain); plain = ""; };
  const push = (node) => { flush(); made.push(node); };
  for (let at = 0; at < text.length; ) {
    const here = text[at];
    if (!SPECIAL.test(here)) { plain += here; at += 1; continue; }
    const found = depth < DEEPEST ? special(text, at, label, depth) : null;
    if (found) { push(found.node); at = found.end; } else { plain += here; at += 1; }
  }
  flush();
  return made;
}

function special(text, at, label, depth) {
  const rest = text.slice(at, at + 4000);
  switch (text[at]) {
    case "\\": return /^\\[\\`*_[\]()#+.!<>~-]/.test(rest) ? { node: text[at + 1], end: at + 2 } : null;
    case "\n": return / {2}$/.test(text.slice(Math.max(0, at - 2), at)) ? { node: el("br"), end: at + 1 } : null;
    case "`": {
      const ticks = /^`+/.exec(rest)[0], end = rest.indexOf(ticks, ticks.length);
      return end > 0 ? { node: el("code", {}, rest.slice(ticks.length, end).trim() || " "), end: at + end + ticks.length } : null;
    }
    case "*":
    case "_": return emphasis(text, rest, at, label, depth);
    case "!": return image(rest, at);
    case "[": return bracket(rest, at, label, depth);
    case "<": {
      const address = /^<(https?:\/\/[^\s<>]{1,2000})>/i.exec(rest);
      return address ? { node: link(address[1], [address[1]]), end: at + address[0].length } : null;
    }
    default: {
      const address = /\w/.test(text[at - 1] || "") ? null : /^https?:\/\/[^\s<>"'`)\]]{1,2000}/i.exec(rest);
      if (!address) return null;
      const url = address[0].replace(/[.,;:!?*_]+$/, "");
      return { node: link(url, [url]), end: at + url.length };
    }
  }
}

function emphasis(text, rest, at, label, depth) {
  const mark = rest.startsWith(text[at].repeat(2)) ? text[at].repeat(2) : text[at];
  if (mark[0] === "_" && /\w/.test(text[at - 1] || "")) return null;
  const end = rest.indexOf(mark, mark.length);
  const inside = end > 0 ? rest.slice(mark.length, end) : "";
  if (!inside.trim() || /^\s|\s$/.test(inside)) return null;
  return { node: el(mark.length === 2 ? "strong" : "em", {}, ...inline(inside, label, depth + 1)), end: at + end + mark.length };
}

// An image would be asked for at another host, and the asking tells: it is named instead.
function image(rest, at) {
  const found = /^!\[([^\]\n]{0,500})\]\(([^()\s]{0,2000})[^()\n]{0,500}\)/.exec(rest);
  return found ? { node: el("span.image", {}, `[image: ${found[1] || "no description"}]`), end: at + found[0].length } : null;
}

function bracket(rest, at, label, depth) {
  const cited = /^\[(\d{1,3})\](?!\()/.exec(rest);
  if (cited) {
    const node = label(Number(cited[1]));
    return node ? { node, end: at + cited[0].length } : null;
  }
  const found = /^\[([^\]\n]{1,500})\]\(\s*<?([^()\s<>]{1,2000})>?[^()\n]{0,500}\)/.exec(rest);
  if (!found) return null;
  return { node: link(found[2], inline(found[1], () => null, depth + 1)), end: at + found[0].length };
}

// Only to the web or a mail, never to a script; what is shown when the words hide the address is the address's host.
function link(address, words) {
  let url;
  try { url = new URL(address); } catch { return el("span", {}, ...words); }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return el("span", {}, ...words);
  return el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href }, ...words);
}
