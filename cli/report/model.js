"use strict";
/* The data: one flat typed array a column over all tokens, in display units; a document is a range of them.
   The page holds milli-nats as integers, null for missing. Nothing here or later makes markup out of a string. */

const data = JSON.parse(document.getElementById("data").textContent);
const inBits = data.unit === "bit";
const unit = inBits ? "bits" : "nats";
const perNat = inBits ? 1 / Math.LN2 : 1;

const documents = data.documents;
const nTokens = documents.reduce((sum, d) => sum + d.n, 0);
const entropy = new Float32Array(nTokens).fill(NaN);
const surprisal = new Float32Array(nTokens).fill(NaN);
const rank = new Float32Array(nTokens).fill(NaN);
const keep = new Float32Array(nTokens).fill(NaN);
const start = new Uint32Array(nTokens), end = new Uint32Array(nTokens);
const isHead = new Uint8Array(nTokens); /* the first token of its piece: whole characters */

/* Impossible tokens have infinite surprisal; nothing else that is not finite is a value. */
function load(column, values, base, scale) {
  if (values) values.forEach((v, i) => {
    column[base + i] = v === null ? NaN : Number(v) * scale;
    if (!isFinite(column[base + i]) && !(column === surprisal && column[base + i] > 0)) column[base + i] = NaN;
  });
}

let base = 0;
documents.forEach((d, number) => {
  Object.assign(d, { number, base, gaps: new Map() });
  load(entropy, d.entropy, base, perNat / 1000);
  load(surprisal, d.surprisal, base, perNat / 1000);
  load(rank, d.rank, base, 1);
  load(keep, d.keep, base, 1);
  const gaps = new Map(d.gap || []);
  let at = 0;
  for (let i = 0; i <= d.n; i++) {
    if (gaps.has(i)) d.gaps.set(i, [at, at += gaps.get(i)]);
    if (i === d.n) break;
    isHead[base + i] = d.length[i] >= 0 ? 1 : 0;
    start[base + i] = isHead[base + i] ? at : start[base + i - 1];
    end[base + i] = at += Math.max(0, d.length[i]);
  }
  base += d.n;
});

const has = {
  entropy: entropy.some((v) => !isNaN(v)), surprisal: surprisal.some((v) => !isNaN(v)),
  rank: rank.some((v) => !isNaN(v)), keep: keep.some((v) => !isNaN(v)),
};

function documentOf(t) {
  let low = 0, high = documents.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (documents[middle].base <= t) low = middle; else high = middle - 1;
  }
  return documents[low];
}

function headOf(t) { while (!isHead[t]) t--; return t; }

function pieceEnd(t) {
  const d = documentOf(t), last = d.base + d.n;
  for (t++; t < last && !isHead[t]; t++);
  return t;
}

/* The greatest value of the tokens that make one piece; for keep the least: a piece is kept if all of it is. */
function pieceValue(column, t, stop) {
  let value = NaN;
  for (; t < stop; t++)
    if (!isNaN(column[t]) && !(column === keep ? value <= column[t] : value >= column[t])) value = column[t];
  return value;
}

function textOf(t) { const d = documentOf(t); return d.text.slice(start[t], end[t]); }

function tokenName(id) { return data.vocabulary[id] !== undefined ? data.vocabulary[id] : "#" + id; }

function sorted(column) { return column.filter((v) => !isNaN(v)).sort(); }

function quantile(ordered, q) {
  if (!ordered.length) return NaN;
  const at = q * (ordered.length - 1), low = Math.floor(at);
  const next = ordered[Math.min(low + 1, ordered.length - 1)];
  return at === low || next === ordered[low] ? ordered[low] : ordered[low] + (at - low) * (next - ordered[low]);
}

const sortedEntropy = sorted(entropy), sortedSurprisal = sorted(surprisal);

/* A round number at or above x. */
function roundUp(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((m) => m * power).find((m) => m >= x * 0.9999) || 1;
}

function scaleTop(ordered) {
  const top = quantile(ordered.filter(isFinite), 0.98);
  return top > 0 ? roundUp(top) : 1;
}

const number = (x, digits = 2) => isNaN(x) ? "–" : isFinite(x) ? x.toFixed(digits) : "∞";
const whole = (n) => Math.round(n).toLocaleString("en");
const percent = (x, digits = 1) => isNaN(x) ? "–" : (100 * x).toFixed(digits) + " %";

function probability(p) {
  if (isNaN(p)) return "–";
  if (p >= 0.001 || p === 0) return (100 * p).toFixed(p >= 0.1 ? 1 : 2) + " %";
  return "1 in " + Number((1 / p).toPrecision(2)).toLocaleString("en");
}

/* Makes an element with properties and children; text only as text. */
const svgTags = new Set(["svg", "g", "rect", "line", "path", "text", "circle", "title"]);
function make(tag, attributes, ...children) {
  const node = svgTags.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return node;
}

/* Control, bidirectional and other invisible characters as U+XXXX; newline and tab keep their effect and gain a sign. */
const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb]|\udb40[\udc00-\udcff]/g;
function visible(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(hidden)) {
    const c = match[0];
    if (match.index > at) nodes.push(text.slice(at, match.index));
    if (c === "\n" || c === "\t") nodes.push(make("i", { class: c === "\n" ? "nl" : "tab" }), c);
    else nodes.push(make("i", { class: "escape" }, "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")));
    at = match.index + c.length;
  }
  if (at < text.length) nodes.push(text.slice(at));
  return nodes;
}

/* The same on one line and as plain text. */
function plain(text) {
  return text.replace(hidden, (c) => c === "\n" ? "↵" : c === "\t" ? "→" : "<U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + ">");
}

/* A row of buttons of which one is on; arrow keys move, as in any radio group. */
function radio(host, choices, chosen, onchange) {
  const buttons = choices.map(([value, label]) => make("button", { type: "button", role: "radio", "data-value": value }, label));
  const choose = (value) => buttons.forEach((b) => {
    b.setAttribute("aria-checked", String(b.dataset.value === value));
    b.tabIndex = b.dataset.value === value ? 0 : -1;
  });
  buttons.forEach((b, i) => {
    b.addEventListener("click", () => { choose(b.dataset.value); onchange(b.dataset.value); });
    b.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      const next = buttons[(i + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  });
  choose(chosen);
  host.replaceChildren(...buttons);
}
