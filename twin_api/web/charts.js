// Small charts as SVG, drawn here: lines and bars over days, and differences with their intervals. Every chart has its
// figures as words too: a title for who looks, a table for who listens.

import { el, number, svg } from "./dom.js";

const WIDTH = 460, HEIGHT = 190, LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 24;

export const rounded = (value) => (value === null || value === undefined ? "–" : Math.abs(value) >= 100 ? number(Math.round(value)) : String(Number(value.toPrecision(3))));

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= most) ?? most;
}

// days: ISO dates in order. series: [{name, values}], null where there is nothing. stacked: bars on each other, else lines.
export function overTime(title, days, series, { stacked = false, unit = "" } = {}) {
  const totals = days.map((_, index) => series.reduce((sum, one) => sum + (one.values[index] || 0), 0));
  const top = nice(Math.max(...(stacked ? totals : series.flatMap((one) => one.values.map((value) => value || 0))), 0));
  const x = (index) => LEFT + (WIDTH - LEFT - RIGHT) * (days.length > 1 ? index / (days.length - 1) : 0.5);
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / (top || 1));
  const parts = [0, 0.5, 1].flatMap((share) => [
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(top * share), y2: y(top * share) }),
    svg("text", { x: LEFT - 6, y: y(top * share) + 4, "text-anchor": "end" }, rounded(top * share)),
  ]);
  for (const index of new Set([0, Math.floor((days.length - 1) / 2), days.length - 1])) {
    parts.push(svg("text", { x: x(index), y: HEIGHT - 6, "text-anchor": index === 0 && days.length > 1 ? "start" : index === days.length - 1 && days.length > 1 ? "end" : "middle" }, short(days[index])));
  }
  parts.push(...(stacked ? bars(days, series, x, y, unit) : lines(days, series, x, y, unit)));
  return framed(title, svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}; the figures are in the table below.` }, ...parts), series, days, unit);
}

const short = (iso) => new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(`${iso}T00:00:00Z`));

function lines(days, series, x, y, unit) {
  return series.flatMap((one, which) => {
    const points = one.values.map((value, index) => (value === null ? null : [x(index), y(value)]));
    let path = "", drawn = false;
    for (const point of points) {
      if (point) path += `${drawn ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
      drawn = Boolean(point) || drawn; // days without an answer are crossed, not cut
    }
    return [svg("path", { class: `line series-${which + 1}`, d: path || "M0 0" }), ...points.map((point, index) => point && svg("circle", { class: `series-${which + 1}`, cx: point[0], cy: point[1], r: days.length > 45 ? 1.5 : 2.5 }, titled(`${short(days[index])}: ${one.name} ${rounded(one.values[index])}${unit}`))).filter(Boolean)];
  });
}

function bars(days, series, x, y, unit) {
  const wide = Math.max(2, Math.min(26, ((WIDTH - LEFT - RIGHT) / days.length) * 0.7));
  return days.flatMap((day, index) => {
    let under = 0;
    return series.map((one, which) => {
      const value = one.values[index] || 0;
      if (!value) return null;
      const from = Math.min(Math.max(x(index) - wide / 2, LEFT), WIDTH - RIGHT - wide);
      const bar = svg("rect", { class: `series-${which + 1}`, "stroke-width": 0, x: from, width: wide, y: y(under + value), height: Math.max(0.5, y(under) - y(under + value)) }, titled(`${short(day)}: ${one.name} ${rounded(value)}${unit}`));
      under += value;
      return bar;
    }).filter(Boolean);
  });
}

const titled = (text) => svg("title", {}, text);

function framed(title, drawing, series, days, unit) {
  const key = series.length > 1 ? el("ul.legend", {}, ...series.map((one, which) => el("li", {}, svg("svg", { viewBox: "0 0 20 10", "aria-hidden": "true" }, svg("rect", { class: `series-${which + 1}`, "stroke-width": 0, y: 3, width: 20, height: 4, rx: 2 })), one.name))) : null;
  return el("figure.chart.card", {}, el("figcaption", {}, title), drawing, key, el("details", {}, el("summary", {}, "Figures"), el("div.scroll", { tabindex: "0", role: "region", "aria-label": `${title}, figures` }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "Day"), ...series.map((one) => el("th.number", {}, one.name + (unit ? `,${unit}` : ""))))),
    el("tbody", {}, ...days.map((day, index) => [day, index]).filter(([, index]) => series.some((one) => one.values[index])).map(([day, index]) => el("tr", {}, el("td", {}, short(day)), ...series.map((one) => el("td.number", {}, rounded(one.values[index])))))),
  ))));
}

// axes: {name: {mean, low, high}}; margins: {name: how far it may fall}. Each axis has its own unit, so its own scale.
export function differences(title, axes, margins, words) {
  const names = Object.keys(axes), row = 34, height = names.length * row + 26, left = 96, wide = WIDTH - left - 90;
  const parts = names.flatMap((name, index) => {
    const { mean, low, high } = axes[name], margin = margins[name] ?? 0;
    const reach = Math.max(Math.abs(low), Math.abs(high), Math.abs(margin)) * 1.12 || 1;
    const x = (value) => left + wide / 2 + (value / reach) * (wide / 2);
    const y = index * row + 20, won = low > 0 ? "won" : high < margin || (high < 0 && margin === 0) ? "lost" : "even";
    return [
      svg("text", { class: "strong", x: left - 10, y: y + 4, "text-anchor": "end" }, name),
      svg("line", { class: "axis", x1: left, x2: left + wide, y1: y, y2: y }),
      svg("line", { class: "zero", x1: x(0), x2: x(0), y1: y - 9, y2: y + 9 }),
      margin ? svg("line", { class: "margin-line", x1: x(margin), x2: x(margin), y1: y - 9, y2: y + 9 }, titled(`may fall to ${margin}`)) : null,
      svg("line", { class: won, "stroke-width": 3, x1: x(low), x2: x(high), y1: y, y2: y }),
      svg("circle", { class: won, cx: x(mean), cy: y, r: 5 }, titled(`${name}: ${signed(mean)}, 95 % interval ${signed(low)} to ${signed(high)}`)),
      svg("text", { x: left + wide + 10, y: y + 4 }, signed(mean)),
    ].filter(Boolean);
  });
  parts.push(svg("text", { x: left, y: height - 2 }, "← worse"), svg("text", { x: left + wide, y: height - 2, "text-anchor": "end" }, "better →"));
  return el("figure.chart.card", {}, el("figcaption", {}, title), svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}: ${names.map((name) => `${name} ${signed(axes[name].mean)}`).join(", ")}` }, ...parts), el("p.hint", {}, words));
}

export const signed = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(Math.abs(value) < 0.1 ? 3 : 2)}`;
