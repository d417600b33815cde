"use strict";
// The chart: perplexity ratio over epochs, with the limit, a mark for each epoch, and rejected trials.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 250, LEFT = 56, RIGHT = 16, TOP = 24, BOTTOM = 34, LINE = 22;
const SHAPES = {
  promote: "into the weights", remember: "into memory", rollback: "rolled back or undone", other: "other",
};

function shape(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function markPath(kind, x, y) {
  if (kind === "promote") return `M${x} ${y - 7} l7 13 h-14 z`;
  if (kind === "rollback" || kind === "undo") return `M${x} ${y + 7} l7 -13 h-14 z`;
  if (kind === "remember" || kind === "base") return `M${x - 5} ${y} a5 5 0 1 0 10 0 a5 5 0 1 0 -10 0`;
  return `M${x - 4} ${y - 4} h8 v8 h-8 z`;
}

// Makes a mark that a click, Enter or Space opens.
function openable(mark, label, open, tabindex = 0) {
  for (const [key, value] of Object.entries({ role: "button", "aria-label": label, tabindex })) mark.setAttribute(key, value);
  shape("title", {}, mark, label);
  mark.addEventListener("click", open);
  mark.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
  });
}

// One cross for all trials between two epochs that were not accepted.
function drawTrials(svg, rejected, points, x, tabbed, openTrials) {
  const between = new Map();
  for (const trial of rejected) {
    const after = points.findIndex((one) => one.at_s > trial.at_s);
    between.set(after, [...(between.get(after) || []), trial]);
  }
  for (const [after, trials] of between) {
    const at = x(after < 0 ? points.length - 1 : Math.max(0, after - 0.5)), last = trials.at(-1);
    const cross = shape("g", { class: "rejected" }, svg);
    shape("rect", { x: at - 10, y: 2, width: 20, height: 16 }, cross);
    shape("path", { d: `M${at - 5} 5 l10 10 m-10 0 l10 -10` }, cross);
    openable(cross, trials.length === 1 ? `trial of ${last.edits} edits: ${last.outcome}: ${last.reason}`
      : `${trials.length} trials that were not accepted`, () => openTrials(trials), after >= 0 && after < tabbed ? -1 : 0);
  }
}

// Draws into `place`. `open` is called with the number of the epoch that is chosen, `openTrials` with trials.
function drawChart(place, data, limit, open, openTrials) {
  const epochs = data.epochs, WIDTH = Math.max(320, place.clientWidth);
  place.replaceChildren();
  if (!epochs.length) { place.textContent = "No epoch yet."; return; }
  let last = 1;
  const points = epochs.map((one) => {
    if (one.perplexity_ratio !== null) last = one.perplexity_ratio;
    return { ...one, ratio: last };
  });
  const values = [1, ...points.map((one) => one.ratio), ...(limit ? [limit] : [])].filter(Number.isFinite);
  const low = Math.min(...values), high = Math.max(...values), room = Math.max(0.002, (high - low) * 0.15);
  const x = (n) => LEFT + (WIDTH - LEFT - RIGHT) * (points.length > 1 ? n / (points.length - 1) : 0.5);
  const y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (v - low + room) / (high - low + 2 * room));
  const legend = [...Object.entries(SHAPES), ["rejected", "trial not accepted"]];
  const places = [];
  let across = LEFT, down = HEIGHT + 4;
  for (const [, text] of legend) {
    const wide = 34 + text.length * 7.2;
    if (across + wide > WIDTH && across > LEFT) { across = LEFT; down += LINE; }
    places.push([across, down]);
    across += wide;
  }
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${down + 10}`, role: "group", "aria-labelledby": "chart-title" }, place);
  for (const value of [low, (low + high) / 2, high]) {
    shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "axis" }, svg);
    shape("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, svg, value.toFixed(3));
  }
  if (limit) {
    shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(limit), y2: y(limit), class: "limit" }, svg);
    shape("text", { x: WIDTH - RIGHT, y: y(limit) - 6, "text-anchor": "end" }, svg, `limit ${limit}`);
  }
  const path = points.map((one, n) => `${n ? "L" : "M"}${x(n)} ${y(one.ratio)}`).join("");
  shape("path", { d: path, class: "ratio" }, svg);
  const tabbed = points.length > 60 ? points.length - 60 : 0;
  drawTrials(svg, data.rejected, points, x, tabbed, openTrials);
  points.forEach((one, n) => {
    const kind = one.kind in SHAPES || one.kind === "base" || one.kind === "undo" ? one.kind : "other";
    const label = `epoch ${one.epoch}: ${one.kind}, ratio ${one.ratio.toFixed(4)}, ${one.edits} edits`;
    const mark = shape("path", { d: markPath(kind, x(n), y(one.ratio)), class: `mark ${kind}` }, svg);
    openable(mark, label, () => open(one.epoch), n < tabbed ? -1 : 0);
  });
  shape("text", { x: LEFT, y: HEIGHT - 14 }, svg, `epoch ${points[0].epoch}`);
  shape("text", { x: WIDTH - RIGHT, y: HEIGHT - 14, "text-anchor": "end" }, svg, `epoch ${points.at(-1).epoch}`);
  legend.forEach(([kind, text], n) => {
    const [at, line] = places[n];
    const d = kind === "rejected" ? `M${at} ${line - 5} l10 10 m-10 0 l10 -10` : markPath(kind, at + 6, line);
    shape("path", { d, class: kind === "rejected" ? "rejected" : `mark ${kind}` }, svg);
    shape("text", { x: at + 18, y: line + 5 }, svg, text);
  });
}
