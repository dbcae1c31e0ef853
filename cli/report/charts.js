/* The charts, as SVG drawn at the size they are shown. Each returns what it needs to be drawn again. */

const usualMargin = { left: 46, right: 10, top: 10, bottom: 34 };

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const list = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) list.push(v || 0);
  return list;
}

/* An empty chart with both axes; `x` and `y` are [low, high, how a tick reads, title]. */
function frame(host, height, x, y, margin = usualMargin) {
  const width = Math.max(240, host.clientWidth - 36);
  const right = width - margin.right, bottom = height - margin.bottom;
  const atX = (v) => margin.left + (v - x[0]) / (x[1] - x[0]) * (right - margin.left);
  const atY = (v) => bottom - (v - y[0]) / (y[1] - y[0]) * (bottom - margin.top);
  const svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  ticks(y[0], y[1], 4).forEach((v) => svg.append(make("line", { class: "axis", x1: margin.left, x2: right, y1: atY(v), y2: atY(v) }),
    make("text", { x: margin.left - 7, y: atY(v) + 4, "text-anchor": "end" }, y[2](v))));
  ticks(x[0], x[1], width > 420 ? 8 : 5).forEach((v) => svg.append(make("text", { x: atX(v), y: bottom + 16, "text-anchor": "middle" }, x[2](v))));
  svg.append(make("text", { x: right, y: height - 3, "text-anchor": "end" }, x[3]));
  return { svg, atX, atY, left: margin.left, top: margin.top, right, bottom, valueAt: (e) => x[0] + (e.offsetX - margin.left) / (right - margin.left) * (x[1] - x[0]) };
}

const short = (v) => String(Number(v.toPrecision(3)));
const shortPercent = (v) => short(100 * v) + " %";

/* Title, note (a sentence that also says what is under the pointer) and the place of the drawing. */
function panel(id, title, extra) {
  const host = document.getElementById(id);
  const note = make("p", { class: "note" }), place = make("div", {});
  host.replaceChildren(make("h3", {}, title, extra || null), note, place);
  return { host, note, place, show(chart, label) {
    chart.svg.setAttribute("aria-label", label);
    note.textContent = label;
    place.replaceChildren(chart.svg);
  } };
}

function histogram(id, title, ordered) {
  const view = panel(id, title);
  if (!ordered.length) { view.host.hidden = true; return () => {}; }
  const top = scaleTop(ordered) * (quantile(ordered, 0.98) < ordered[ordered.length - 1] ? 1.25 : 1), nBins = 40, bins = new Float64Array(nBins);
  ordered.forEach((v) => { bins[Math.min(nBins - 1, Math.max(0, Math.floor(v / top * nBins)))]++; });
  const most = Math.max(...bins) / ordered.length;
  const mean = ordered.reduce((a, b) => a + b, 0) / ordered.length, median = quantile(ordered, 0.5);
  const label = `Mean ${number(mean)}, median ${number(median)}, 95 % below ${number(quantile(ordered, 0.95))} ${unit}`;
  return () => {
    const c = frame(view.host, 230, [0, top, short, unit], [0, most * 1.05, shortPercent, ""]);
    bins.forEach((n, i) => {
      const left = c.atX(i * top / nBins), right = c.atX((i + 1) * top / nBins), y = c.atY(n / ordered.length);
      const bar = make("rect", { class: "column", x: left + 0.5, y, width: Math.max(0.5, right - left - 1), height: Math.max(0, c.bottom - y), rx: 1.5 });
      const area = make("rect", { x: left, y: c.top, width: right - left, height: c.bottom - c.top, fill: "transparent" });
      area.addEventListener("pointerenter", () => {
        bar.classList.add("on");
        const range = i === nBins - 1 ? `${number(i * top / nBins)} and more` : `${number(i * top / nBins)} to ${number((i + 1) * top / nBins)}`;
        view.note.textContent = `${range} ${unit}: ${whole(n)} tokens, ${percent(n / ordered.length)}`;
      });
      area.addEventListener("pointerleave", () => { bar.classList.remove("on"); view.note.textContent = label; });
      c.svg.append(bar, area);
    });
    const x = c.atX(Math.min(median, top));
    c.svg.append(make("line", { class: "rule soft", x1: x, x2: x, y1: c.top, y2: c.bottom }), make("text", { x: x + 5, y: c.top + 10 }, "median"));
    view.show(c, label);
  };
}

/* Entropy says how sure the model was, surprisal how wrong. */
const quadrantNames = ["Confident and right", "Confident but wrong", "Unsure yet right", "Unsure and wrong"];
const quadrantOf = (h, s, cutH, cutS) => (h > cutH ? 2 : 0) + (s > cutS ? 1 : 0);

function quadrants() {
  const toggle = make("span", { class: "switch", role: "radiogroup", "aria-label": "Where the quadrants meet" });
  const view = panel("quadrants", "Entropy against surprisal", toggle);
  if (!has.entropy || !has.surprisal) { view.host.hidden = true; return () => {}; }
  let atMedian = true;
  const topH = scaleTop(sortedEntropy) * 1.1, topS = scaleTop(sortedSurprisal) * 1.1, n = 36;
  const cells = new Float64Array(n * n);
  for (let t = 0; t < nTokens; t++) {
    if (isNaN(entropy[t]) || isNaN(surprisal[t])) continue;
    cells[Math.min(n - 1, Math.floor(surprisal[t] / topS * n)) * n + Math.min(n - 1, Math.floor(entropy[t] / topH * n))]++;
  }
  const most = Math.log1p(Math.max(...cells));
  const draw = () => {
    const cutH = atMedian ? quantile(sortedEntropy, 0.5) : 1, cutS = atMedian ? quantile(sortedSurprisal, 0.5) : 1;
    const shares = [0, 0, 0, 0];
    let all = 0;
    for (let t = 0; t < nTokens; t++)
      if (!isNaN(entropy[t]) && !isNaN(surprisal[t])) { shares[quadrantOf(entropy[t], surprisal[t], cutH, cutS)]++; all++; }
    const isNarrow = view.host.clientWidth < 480, extra = isNarrow ? 15 : 0; /* a line more for the shares */
    const c = frame(view.host, 344, [0, topH, short, `entropy, ${unit}`], [0, topS, short, ""], { left: 46, right: 10, top: 36 + extra, bottom: 54 + extra });
    c.svg.append(make("text", { x: 0, y: 10 }, `surprisal, ${unit}`));
    cells.forEach((count, i) => {
      if (!count) return;
      const x = c.atX((i % n) / n * topH), y = c.atY((Math.floor(i / n) + 1) / n * topS);
      c.svg.append(make("rect", { class: "v" + Math.max(1, Math.round(15 * Math.log1p(count) / most)), x, y,
        width: (c.right - c.left) / n + 0.3, height: (c.bottom - c.top) / n + 0.3 }));
    });
    const cutX = c.atX(Math.min(cutH, topH)), cutY = c.atY(Math.min(cutS, topS));
    c.svg.append(make("line", { class: "rule", x1: cutX, x2: cutX, y1: c.top, y2: c.bottom }), make("line", { class: "rule", x1: c.left, x2: c.right, y1: cutY, y2: cutY }));
    quadrantNames.forEach((name, q) => {
      const place = q >= 2 ? { x: c.right, "text-anchor": "end" } : { x: c.left, "text-anchor": "start" };
      const y = q % 2 ? c.top - 9 - extra : c.bottom + 35;
      c.svg.append(make("text", { class: "name", ...place, y }, isNarrow ? name : `${name} ${percent(shares[q] / all)}`));
      if (isNarrow) c.svg.append(make("text", { ...place, y: y + 15 }, percent(shares[q] / all)));
    });
    view.show(c, `Split at entropy ${number(cutH)} and surprisal ${number(cutS)} ${unit}${atMedian ? ", the medians" : ""}. Colour shows how many tokens, on a log scale.`);
  };
  radio(toggle, [["median", "medians"], ["one", inBits ? "1 bit" : "1 nat"]], "median", (value) => { atMedian = value === "median"; draw(); });
  return draw;
}

/* How many values are at most v. */
function countTo(ordered, v) {
  let low = 0, high = ordered.length;
  while (low < high) { const middle = (low + high) >> 1; if (ordered[middle] <= v) low = middle + 1; else high = middle; }
  return low;
}

function keepRate() {
  const toggle = has.keep ? make("span", { class: "switch", role: "radiogroup", "aria-label": "What kept means in the text" }) : null;
  const view = panel("keep", "Keep rate against threshold", toggle);
  if (!has.entropy) { view.host.hidden = true; return () => {}; }
  const top = scaleTop(sortedEntropy) * 1.25, all = sortedEntropy.length;
  const slider = make("input", { type: "range", min: 0, max: 1000, value: Math.round(1000 * state.threshold / top), "aria-label": "Threshold on entropy" });
  view.host.append(slider);
  const recorded = has.keep ? keep.reduce((n, k) => n + (k === 1), 0) / keep.reduce((n, k) => n + !isNaN(k), 0) : NaN;
  const draw = () => {
    const c = frame(view.host, 300, [0, top, short, `threshold on entropy, ${unit}`], [0, 1, shortPercent, ""]);
    let path = "";
    for (let i = 0; i <= 200; i++) path += (i ? "L" : "M") + c.atX(i / 200 * top).toFixed(1) + " " + c.atY(countTo(sortedEntropy, i / 200 * top) / all).toFixed(1);
    const share = countTo(sortedEntropy, state.threshold) / all, x = c.atX(state.threshold), y = c.atY(share);
    c.svg.append(make("path", { class: "curve", d: path }), make("line", { class: "rule", x1: x, x2: x, y1: c.top, y2: c.bottom }),
      make("line", { class: "rule", x1: c.left, x2: x, y1: y, y2: y }), make("circle", { class: "dot", cx: x, cy: y, r: 4.5 }));
    if (has.keep) c.svg.append(make("line", { class: "rule soft", x1: c.left, x2: c.right, y1: c.atY(recorded), y2: c.atY(recorded) }),
      make("text", { x: c.right, y: c.atY(recorded) - 5, "text-anchor": "end" }, `recorded: ${percent(recorded)}`));
    view.show(c, `Entropy up to ${number(state.threshold)} ${unit} keeps ${percent(share)}: ${whole(share * all)} of ${whole(all)} tokens`);
    const move = (e) => { if (e.type === "pointerdown" || e.buttons) set(c.valueAt(e)); };
    c.svg.addEventListener("pointerdown", move);
    c.svg.addEventListener("pointermove", move);
  };
  const set = (value) => {
    state.threshold = Math.max(0, Math.min(top, value));
    slider.value = Math.round(1000 * state.threshold / top);
    draw();
    if (state.mode === "keep") repaint();
  };
  slider.addEventListener("input", () => set(slider.value / 1000 * top));
  if (toggle) radio(toggle, [["record", "recorded"], ["threshold", "threshold"]], state.keepFrom, (value) => { state.keepFrom = value; repaint(); });
  return draw;
}

/* The middle half and the median of the entropy in bins of the position within a document; bins hold as many positions
   each, at most 60, and end where no document reaches. */
function position() {
  const view = panel("position", "Entropy by position");
  const longest = documents.reduce((most, d) => Math.max(most, d.n), 0);
  if (!has.entropy || longest < 2) { view.host.hidden = true; return () => {}; }
  const nBins = Math.min(60, longest), bins = Array.from({ length: nBins }, () => []);
  documents.forEach((d) => {
    for (let i = 0; i < d.n; i++) if (!isNaN(entropy[d.base + i])) bins[Math.floor(i * nBins / longest)].push(entropy[d.base + i]);
  });
  const points = bins.map((bin, i) => ({ at: (i + 0.5) * longest / nBins, values: Float32Array.from(bin).sort() })).filter((p) => p.values.length);
  if (!points.length) { view.host.hidden = true; return () => {}; }
  points.forEach((p) => { [p.low, p.middle, p.high] = [0.25, 0.5, 0.75].map((q) => quantile(p.values, q)); });
  const top = Math.max(...points.map((p) => p.high)) * 1.08 || 1;
  const label = "The median and the middle half at each position in a document, from its start";
  return () => {
    const c = frame(view.host, 240, [0, longest, whole, "tokens from the start"], [0, top, short, ""]);
    const line = (key) => points.map((p) => `${c.atX(p.at).toFixed(1)} ${c.atY(p[key]).toFixed(1)}`);
    c.svg.append(make("path", { class: "band", d: "M" + line("low").concat(line("high").reverse()).join("L") + "Z" }), make("path", { class: "curve", d: "M" + line("middle").join("L") }));
    c.svg.addEventListener("pointermove", (e) => {
      const v = c.valueAt(e), p = points.reduce((a, b) => Math.abs(b.at - v) < Math.abs(a.at - v) ? b : a);
      view.note.textContent = `Around token ${whole(p.at)}: median ${number(p.middle)}, half between ${number(p.low)} and ${number(p.high)} ${unit}, ${whole(p.values.length)} tokens`;
    });
    c.svg.addEventListener("pointerleave", () => { view.note.textContent = label; });
    view.show(c, label);
  };
}
