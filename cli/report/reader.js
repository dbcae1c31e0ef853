/* The text: blocks of a few hundred tokens that become elements only while they are near the pane, and the
   inspector beside it. */

const pane = document.getElementById("pane"), inspector = document.getElementById("inspector");
const state = { mode: has.entropy ? "entropy" : "surprisal", threshold: quantile(sortedEntropy, 0.8), keepFrom: has.keep ? "record" : "threshold" };
const scales = { entropy: scaleTop(sortedEntropy), surprisal: scaleTop(sortedSurprisal) };
const rankBands = [[1, 0, "1"], [10, 4, "to 10"], [100, 8, "to 100"], [1000, 12, "to 1,000"], [Infinity, 15, "beyond"]];
let selected = -1, spans = new Map();

function isKept(t, stop) {
  if (state.keepFrom === "record") return pieceValue(keep, t, stop);
  const h = pieceValue(entropy, t, stop);
  return isNaN(h) ? NaN : h <= state.threshold ? 1 : 0;
}

function classOf(t, stop) {
  if (state.mode === "keep") {
    const kept = isKept(t, stop);
    return isNaN(kept) ? "unknown" : kept ? "kept" : "dropped";
  }
  const value = pieceValue({ entropy, surprisal, rank }[state.mode], t, stop);
  if (isNaN(value)) return "unknown";
  if (state.mode === "rank") return "v" + rankBands.find(([most]) => value <= most)[1];
  return "v" + Math.max(0, Math.min(15, Math.floor(16 * value / scales[state.mode])));
}

function paint(span) {
  const t = Number(span.dataset.t);
  span.className = classOf(t, pieceEnd(t)) + (t === selected ? " selected" : "");
}

/* A block ends at a line's end when one comes in time, so that blocks do not show. */
function cut(d) {
  const blocks = [];
  let from = 0;
  for (let i = 1; i <= d.n; i++) {
    if (i < d.n && (!isHead[d.base + i] || i - from < 200)) continue;
    const atLineEnd = i === d.n || end[d.base + i - 1] === 0 || d.text[end[d.base + i - 1] - 1] === "\n";
    if (!atLineEnd && i - from < 600) continue;
    blocks.push({ d, from, to: i });
    from = i;
  }
  return blocks.length ? blocks : [{ d, from: 0, to: d.n }];
}

function pieceSpan(d, t) {
  const text = d.text.slice(start[t], end[pieceEnd(t) - 1]);
  const span = make("span", { "data-t": t }, text ? visible(text) : make("i", { class: "escape" }, "∅"));
  spans.set(t, span);
  paint(span);
  return span;
}

function fill(block) {
  if (block.filled) return;
  const { d, from, to, node } = block, parts = [];
  const gap = (i) => { if (d.gaps.has(i)) parts.push(make("span", { class: "gap" }, visible(d.text.slice(...d.gaps.get(i))))); };
  for (let i = from; i < to; i++) {
    gap(i);
    if (isHead[d.base + i]) parts.push(pieceSpan(d, d.base + i));
  }
  if (to === d.n) gap(d.n);
  node.replaceChildren(...parts);
  node.style.minHeight = "";
  block.filled = true;
}

function empty(block) {
  if (!block.filled) return;
  setHeight(block, block.node.offsetHeight);
  for (let t = block.d.base + block.from; t < block.d.base + block.to; t++) spans.delete(t);
  block.node.replaceChildren();
  block.filled = false;
}

function setHeight(block, height) { block.node.style.minHeight = height + "px"; }

const blockOf = new Map();
const watcher = new IntersectionObserver((entries) => entries.forEach((e) => {
  const block = blockOf.get(e.target);
  if (e.isIntersecting) fill(block); else if (!printing) empty(block);
}), { root: pane, rootMargin: "1200px 0px" });
let printing = false;

function layText() {
  const perLine = Math.max(20, pane.clientWidth / 8.3);
  documents.forEach((d) => {
    d.blocks = cut(d);
    const ordered = sorted(entropy.subarray(d.base, d.base + d.n));
    const mean = ordered.reduce((a, b) => a + b, 0) / ordered.length;
    const head = make("h3", {}, make("b", {}, plain(d.id)), make("span", {}, whole(d.n) + (d.n === 1 ? " token" : " tokens")),
      ordered.length ? make("span", {}, `mean entropy ${number(mean)} ${unit}`) : null);
    d.node = make("div", { class: "document" }, head);
    d.blocks.forEach((block) => {
      block.node = make("div", { class: "block" });
      const nCharacters = block.to ? end[d.base + block.to - 1] - (block.from ? start[d.base + block.from] : 0) : 0;
      setHeight(block, 32 * Math.max(1, Math.ceil(nCharacters / perLine)));
      blockOf.set(block.node, block);
      d.node.append(block.node);
    });
  });
  if (nTokens < 1500) pane.classList.add("short");
  pane.replaceChildren(...documents.map((d) => d.node));
  blockOf.forEach((block, node) => watcher.observe(node));
}

function showLegend() {
  const legend = document.getElementById("legend");
  const ramp = make("span", { class: "ramp", "aria-hidden": "true" }, Array.from({ length: 16 }, (_, i) => make("i", { class: "v" + i })));
  if (state.mode === "keep")
    legend.replaceChildren(make("span", { class: "key kept" }, "kept"), make("span", { class: "key dropped" }, "dropped"),
      state.keepFrom === "record" ? "as recorded" : `entropy up to ${number(state.threshold)} ${unit} is kept`);
  else if (state.mode === "rank")
    legend.replaceChildren("rank", ...rankBands.map(([, level, label]) => make("span", { class: `key v${level}` }, label)));
  else
    legend.replaceChildren("0", ramp, `${scales[state.mode]} ${unit} and more`);
}

function repaint() { spans.forEach(paint); showLegend(); }

function topList(d, i, t) {
  if (!d.n_top) return null;
  const rows = [], came = d.token_id ? d.token_id[i] : null;
  let isListed = false;
  for (let k = 0; k < d.n_top; k++) {
    const id = d.top_id[i * d.n_top + k], cost = d.top_surprisal[i * d.n_top + k];
    if (id === null || id < 0 || cost === null) continue;
    isListed = isListed || id === came;
    rows.push(...topRow(tokenName(id), Math.exp(-Number(cost) / 1000), id === came));
  }
  if (came !== null && !isListed && !isNaN(surprisal[t]))
    rows.push(...topRow(tokenName(came), Math.exp(-surprisal[t] / perNat), true));
  return rows.length ? [make("h4", {}, "Most probable here", make("span", { class: "came-key" }, " ◂ came")), make("div", { class: "top" }, rows)] : null;
}

function topRow(name, p, isCame) {
  const cell = make("span", { class: "name" + (isCame ? " came" : ""), dir: "ltr" }, plain(name).replace(/ /g, "␣") || "∅");
  cell.style.setProperty("--p", (100 * Math.min(1, p)).toFixed(1) + "%");
  return [cell, make("span", { class: "p" }, probability(p))];
}

function inspect(head) {
  if (head < 0) {
    inspector.classList.remove("open");
    return inspector.replaceChildren(make("p", { class: "hint" }, "Point at a token, or select the text and use the arrow keys, to see its numbers and what the model expected instead."));
  }
  const stop = pieceEnd(head), d = documentOf(head);
  /* Of the tokens that make one character, the one the colour comes from. */
  const column = state.mode === "surprisal" ? surprisal : state.mode === "rank" ? rank : entropy;
  let t = head;
  for (let u = head; u < stop; u++) if (column[u] > column[t]) t = u;
  const i = t - d.base, id = d.token_id ? d.token_id[i] : null;
  const facts = [["Entropy", entropy[t], `${number(entropy[t])} ${unit}`], ["Surprisal", surprisal[t], `${number(surprisal[t])} ${unit}`],
    ["Rank", rank[t], whole(rank[t])], ["Probability", surprisal[t], probability(Math.exp(-surprisal[t] / perNat))]];
  const kept = isKept(head, stop);
  if (!isNaN(kept) && (has.keep || state.mode === "keep")) facts.push(["Kept", 1, kept ? "yes" : "no"]);
  const text = d.text.slice(start[head], end[stop - 1]);
  inspector.replaceChildren(
    make("p", { class: "token", dir: "ltr" }, Array.from(plain(text) || "∅", (c) => c === " " ? make("span", { class: "space" }, "␣") : c)),
    make("p", { class: "where" }, `${d.is_rows ? "row" : "token"} ${whole(i)} of ${plain(d.id)}` + (id !== null && id !== undefined ? ` · id ${id}` : "") +
      (stop - head > 1 ? ` · ${stop - head} tokens make this piece; the highest is shown` : "")),
    make("dl", {}, facts.filter(([, v]) => !isNaN(v)).map(([name, , value]) => [make("dt", {}, name), make("dd", {}, value)]).flat()),
    ...(topList(d, i, t) || []));
  inspector.classList.add("open");
}

function select(t, scroll) {
  const old = selected;
  selected = t;
  if (spans.has(old)) paint(spans.get(old));
  inspect(t);
  if (t < 0) return;
  const d = documentOf(t), at = d.blocks.findIndex((b) => t < d.base + b.to);
  d.blocks.slice(Math.max(0, at - 1), at + 2).forEach(fill);
  const span = spans.get(t);
  paint(span);
  const box = span.getBoundingClientRect(), view = pane.getBoundingClientRect();
  if (scroll || box.top < view.top + 48 || box.bottom > view.bottom - 12)
    pane.scrollTop += (box.top + box.bottom) / 2 - (view.top + view.bottom) / 2;
}

const following = (t) => pieceEnd(t) < nTokens ? pieceEnd(t) : t;
const preceding = (t) => t > 0 ? headOf(t - 1) : t;

/* The nearest piece one line above or below. */
function otherLine(t, step) {
  const box = (u) => spans.get(u).getClientRects()[0] || { top: 0, left: 0 };
  const from = box(t);
  let best = t, line = null;
  for (let u = step(t), before = t; u !== before && spans.has(u); before = u, u = step(u)) {
    const here = box(u);
    if (Math.abs(here.top - from.top) < 4) continue;
    if (line === null) line = here.top;
    if (Math.abs(here.top - line) > 4) break;
    if (best === t || Math.abs(here.left - from.left) < Math.abs(box(best).left - from.left)) best = u;
  }
  return best;
}

const moves = {
  ArrowRight: following, ArrowLeft: preceding,
  ArrowDown: (t) => otherLine(t, following), ArrowUp: (t) => otherLine(t, preceding),
  Home: (t) => documentOf(t).base, End: (t) => headOf(documentOf(t).base + documentOf(t).n - 1),
};

function pieceUnder(event) {
  const span = event.target.closest ? event.target.closest("span[data-t]") : null;
  return span && pane.contains(span) ? Number(span.dataset.t) : -1;
}

function listen() {
  let hovered = null;
  const unhover = () => { if (hovered) hovered.classList.remove("hover"); hovered = null; };
  pane.addEventListener("pointerover", (e) => {
    const t = e.pointerType === "touch" ? -1 : pieceUnder(e);
    if (t < 0) return;
    unhover();
    hovered = spans.get(t);
    hovered.classList.add("hover");
    inspect(t);
  });
  pane.addEventListener("pointerleave", () => { unhover(); if (selected >= 0) inspect(selected); });
  pane.addEventListener("click", (e) => select(pieceUnder(e)));
  pane.addEventListener("keydown", (e) => {
    if (e.key === "Escape") return select(-1);
    if (!moves[e.key] || !nTokens || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    if (selected >= 0 && !spans.has(selected)) select(selected); /* scrolled far away: its block is filled again */
    select(selected < 0 ? firstVisible() : moves[e.key](selected));
  });
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => { printing = true; blockOf.forEach(fill); });
  window.addEventListener("afterprint", () => { printing = false; });
}

function firstVisible() {
  const top = pane.getBoundingClientRect().top + 40;
  for (const t of [...spans.keys()].sort((a, b) => a - b)) if (spans.get(t).getBoundingClientRect().top >= top) return t;
  return 0;
}

/* #d3-t120: token 120 of the third document, both from 0. */
function follow() {
  const match = /^#d(\d+)-t(\d+)$/.exec(location.hash);
  const d = match && documents[Number(match[1])];
  if (!d || Number(match[2]) >= d.n) return;
  document.getElementById("text").scrollIntoView({ block: "start" });
  select(headOf(d.base + Number(match[2])), true);
}

const placeOf = (t) => { const d = documentOf(t); return `#d${d.number}-t${t - d.base}`; };
