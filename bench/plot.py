"""Draws what scripts/bench measured: bench/plot.py RESULTS.jsonl OUTPUT makes OUTPUT.svg and OUTPUT.png.

Above: each case as a share of its limit. Below: how many times faster than its peer. A line is the spread of the repetitions, the
dot their median.
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COLORS = {1: "#3974b1", 2: "#c4632b"}


def label(result):
    shape = f"{result['rows']:,} x {result['columns']:,}"
    return f"{result['case']}, {result['dtype'].replace('float', 'f')}, {shape}"


def panel(axes, results, ratio, names, title, is_log):
    rows = list(dict.fromkeys(names(result) for result in results))
    for result in results:
        spread = result[ratio]
        threads = result["threads"]
        y = len(rows) - rows.index(names(result)) - (0.12 if threads > 1 else -0.12)
        color = COLORS.get(threads, COLORS[2])
        axes.plot([spread["min"], spread["max"]], [y, y], color=color, linewidth=2, solid_capstyle="round")
        axes.plot([spread["median"]], [y], "o", color=color, markersize=5)
    axes.set_yticks(range(len(rows), 0, -1), rows, fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if is_log:
        axes.set_xscale("log")
        axes.axvline(1, color="#888888", linewidth=1)
    else:
        axes.set_xlim(0, 1.1)
        axes.axvline(1, color="#888888", linewidth=1)


def main(source, output):
    with open(source, encoding="utf-8") as file:
        machine, *results = map(json.loads, file)
    results = [r for r in results if r["case"] != "accuracy"]
    limited = [r for r in results if "ratio_to_limit" in r and r["columns"] >= 1024 and r["rows"] > 1]
    peers = [r for r in results if "ratio_to_peer" in r]
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 2 + 0.3 * (len(limited) + len(peers)) / 1.5), layout="constrained",
                                          height_ratios=[max(1, len(limited)), max(1, len(peers))])
    panel(above, limited, "ratio_to_limit", lambda r: f"{label(r)}, of {r['limit']}", "share of the machine's limit", False)
    panel(below, peers, "ratio_to_peer", lambda r: f"{label(r)}: {r['peer']}", "times faster than", True)
    handles = [plt.Line2D([], [], color=COLORS[2 if n > 1 else 1], marker="o", label=f"{n} thread{'s' * (n > 1)}")
               for n in sorted({r["threads"] for r in results if "threads" in r})]
    above.legend(handles=handles, fontsize=8, loc="upper left", frameon=False)
    figure.supxlabel(f"{machine['processor']}, {machine['processors']} processors, {machine['compiler']}, {machine['date']}",
                     fontsize=8, color="#555555")
    figure.savefig(output + ".svg")
    figure.savefig(output + ".png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
