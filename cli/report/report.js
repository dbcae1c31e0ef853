/* Totals, the worst places, the manifest, and the start of it all. */

function totals() {
  const t = data.totals, host = document.getElementById("totals");
  const facts = [["Documents", whole(t.documents), ""], ["Tokens", whole(t.tokens), ""]];
  const inUnit = (nats) => number(nats * perNat);
  if (t.mean_entropy !== null) facts.push(["Mean entropy", inUnit(t.mean_entropy), unit], ["Median entropy", inUnit(t.median_entropy), unit], ["95 % are below", inUnit(t.p95_entropy), unit]);
  if (t.perplexity !== null) facts.push(["Perplexity", t.perplexity === "Infinity" ? "∞" : Number(t.perplexity.toPrecision(4)).toLocaleString("en"), ""]);
  if (t.bits_per_byte !== null) facts.push(["Bits per byte", t.bits_per_byte === "Infinity" ? "∞" : number(t.bits_per_byte, 3), ""]);
  host.replaceChildren(...facts.map(([name, value, after]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, after ? make("small", {}, " " + after) : null))));
}

/* What a token is ranked by. */
const orders = {
  surprisal: ["Surprisal", (t) => surprisal[t]],
  entropy: ["Entropy", (t) => entropy[t]],
  wrong: ["Confident but wrong", (t) => surprisal[t] - entropy[t]],
};
const nWorst = 10;

function best(candidates, n) {
  return candidates.filter((c) => !isNaN(c.value)).sort((a, b) => b.value - a.value || a.t - b.t).slice(0, n);
}

function worstDocuments(value) {
  return best(documents.map((d) => {
    let sum = 0, n = 0;
    for (let t = d.base; t < d.base + d.n; t++) if (!isNaN(value(t))) { sum += value(t); n++; }
    return { t: d.base, d, value: sum / n };
  }).filter((c) => c.d.n), nWorst);
}

/* Means over a sliding window within a document; of overlapping windows the worst. A document shorter than the window
   is one span. */
function worstSpans(value, length) {
  const candidates = [];
  documents.forEach((d) => {
    const width = Math.min(length, d.n);
    let sum = 0, n = 0;
    for (let i = 0; i < d.n; i++) {
      const enters = value(d.base + i), leaves = i >= width ? value(d.base + i - width) : NaN;
      if (isFinite(enters)) { sum += enters; n++; }
      if (isFinite(leaves)) { sum -= leaves; n--; }
      if (i >= width - 1 && n) candidates.push({ t: d.base + i - width + 1, stop: d.base + i + 1, value: sum / n });
    }
  });
  const taken = [];
  for (const c of best(candidates, Infinity)) {
    if (taken.length === nWorst) break;
    if (taken.every((o) => c.stop <= o.t || c.t >= o.stop)) taken.push(c);
  }
  return taken;
}

function worstTokens(value) {
  let least = -Infinity, heap = [];
  for (let t = 0; t < nTokens; t++) {
    const v = value(t);
    if (!(v > least) && heap.length >= nWorst) continue;
    heap = best([...heap, { t, value: v }], nWorst);
    if (heap.length === nWorst) least = heap[nWorst - 1].value;
  }
  return heap;
}

function entry(host, found, snippet) {
  host.replaceChildren(...found.map((c) => make("li", {}, make("a", { href: placeOf(c.t) }, make("span", { class: "value" }, number(c.value)), snippet(c)))));
  if (!found.length) host.replaceChildren(make("li", { class: "note" }, "Nothing recorded to rank by."));
}

function around(t) {
  const d = documentOf(t), head = headOf(t), stop = pieceEnd(t);
  const before = d.text.slice(Math.max(0, start[head] - 24), start[head]), after = d.text.slice(end[stop - 1], end[stop - 1] + 40);
  const id = d.token_id ? d.token_id[t - d.base] : null;
  const alternative = d.n_top && d.top_id[(t - d.base) * d.n_top] !== null && d.top_id[(t - d.base) * d.n_top] !== id
    ? `expected “${plain(tokenName(d.top_id[(t - d.base) * d.n_top])).trim()}” at ${probability(Math.exp(-Number(d.top_surprisal[(t - d.base) * d.n_top]) / 1000))}` : plain(d.id);
  return make("span", { class: "snippet" }, plain(before).trimStart(), make("b", {}, plain(textOf(t)) || "∅"), plain(after), make("small", {}, alternative));
}

let order = has.surprisal ? "surprisal" : "entropy";
function showWorst() {
  const value = orders[order][1], length = Number(document.getElementById("window").value);
  entry(document.getElementById("worst-documents"), worstDocuments(value), (c) =>
    make("span", { class: "snippet" }, plain(c.d.id), make("small", {}, whole(c.d.n) + " tokens")));
  entry(document.getElementById("worst-spans"), worstSpans(value, length), (c) => {
    const d = documentOf(c.t);
    return make("span", { class: "snippet" }, plain(d.text.slice(start[c.t], end[c.stop - 1])).trim(), make("small", {}, `${plain(d.id)}, tokens ${whole(c.t - d.base)} to ${whole(c.stop - 1 - d.base)}`));
  });
  entry(document.getElementById("worst-tokens"), worstTokens(value), (c) => around(c.t));
}

function flatten(value, name, rows) {
  if (value === null) return rows; /* a setting that was not given */
  if (typeof value === "object" && !Array.isArray(value))
    for (const [key, inner] of Object.entries(value)) flatten(inner, name ? name + " · " + key : key, rows);
  else rows.push([name, typeof value === "string" ? value : Array.isArray(value) && value.every((v) => typeof v === "string") ? value.join(" ") : JSON.stringify(value)]);
  return rows;
}

function manifest() {
  const host = document.getElementById("manifest");
  host.replaceChildren(make("h2", {}, "How this was made"), ...data.sources.map((source) => make("dl", {},
    make("dt", {}, "records"), make("dd", {}, plain(source.name)),
    source.manifest ? flatten(source.manifest, "", []).map(([k, v]) => [make("dt", {}, plain(k.replaceAll("_", " "))), make("dd", {}, plain(v))]).flat()
      : [make("dt", {}, "manifest"), make("dd", {}, "none beside it")])),
  make("p", {}, `Entrol ${data.version}. Values are rounded to a thousandth of a nat; the totals are exact.`));
}

function jumpList() {
  if (documents.length < 2) return;
  const host = document.getElementById("jump"), list = host.querySelector("select");
  list.replaceChildren(...documents.map((d) => make("option", { value: d.number }, plain(d.id))));
  list.addEventListener("change", () => { pane.scrollTop += documents[list.value].node.getBoundingClientRect().top - pane.getBoundingClientRect().top; });
  host.hidden = false;
}

function begin() {
  totals();
  document.querySelectorAll(".unit").forEach((node) => { node.textContent = unit; });
  const modes = [["entropy", "Entropy", has.entropy], ["surprisal", "Surprisal", has.surprisal], ["rank", "Rank", has.rank], ["keep", "Kept", has.keep || has.entropy]];
  radio(document.getElementById("mode"), modes.filter((m) => m[2]), state.mode, (value) => { state.mode = value; repaint(); });
  layText();
  showLegend();
  inspect(-1);
  jumpList();
  listen();
  const usable = Object.entries(orders).filter(([key]) => key === "entropy" ? has.entropy : key === "surprisal" ? has.surprisal : has.entropy && has.surprisal);
  radio(document.getElementById("order"), usable.map(([key, [label]]) => [key, label]), order, (value) => { order = value; showWorst(); });
  document.getElementById("window").addEventListener("change", showWorst);
  showWorst();
  manifest();
  const draws = [histogram("histogram-entropy", "Entropy", sortedEntropy), histogram("histogram-surprisal", "Surprisal", sortedSurprisal), quadrants(), keepRate(), position()];
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    draws.forEach((draw) => draw());
  }).observe(document.body);
  follow();
}

begin();
