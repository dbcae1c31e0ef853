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


SHORT = {"TRL entropy_from_logits": "TRL", "TRL entropy_from_logits and selective_log_softmax": "TRL's two functions",
         "torch.distributions.Categorical": "torch Categorical", "read bandwidth": "reading"}


def label(result, beside):
    shape = f"{result['rows']:,} × {result['columns']:,}"
    return f"{result['case']}, {result['dtype'].replace('float', 'f')}, {shape}  |  {SHORT.get(beside, beside)}"


def panel(axes, results, ratio, names, title, is_log):
    rows = list(dict.fromkeys(names(result) for result in results))
    for result in results:
        spread = result[ratio]
        threads = result["threads"]
        y = len(rows) - rows.index(names(result)) - (0.12 if threads > 1 else -0.12)
        color = COLORS.get(threads, COLORS[2])
        axes.plot([spread["min"], spread["max"]], [y, y], color=color, linewidth=2, solid_capstyle="round")
        axes.plot([spread["median"]], [y], "o", color=color, markersize=5)
    axes.set_yticks(range(len(rows), 0, -1), rows, fontsize=7)
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
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
    def rows_of(some):
        return max(1, len({(r["case"], r["dtype"], r["columns"], r.get("peer")) for r in some}))
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 1.5 + 0.24 * (rows_of(limited) + rows_of(peers))), layout="constrained",
                                          height_ratios=[rows_of(limited), rows_of(peers)])
    panel(above, limited, "ratio_to_limit", lambda r: label(r, r["limit"]), "share of the limit named beside it", False)
    panel(below, peers, "ratio_to_peer", lambda r: label(r, r["peer"]), "times faster than the peer named beside it", True)
    handles = [plt.Line2D([], [], color=COLORS[2 if n > 1 else 1], marker="o", label=f"{n} thread{'s' * (n > 1)}")
               for n in sorted({r["threads"] for r in results if "threads" in r})]
    above.legend(handles=handles, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.supxlabel(f"{machine['processor']}, {machine['processors']} processors, {machine['compiler']}, {machine['date']}",
                     fontsize=8, color="#555555")
    figure.savefig(output + ".svg")
    figure.savefig(output + ".png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
