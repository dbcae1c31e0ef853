"""Draws the picture and writes the tables of docs/chains.md: draw.py RESULTS IMAGES [PAGE]"""
import json
import os
import sys

import numpy as np

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, above, canvas, entry, save  # noqa: E402
from tables import fill, table  # noqa: E402

STYLE = {
    "temperature": {"color": GREY, "marker": "o"}, "top-p": {"color": BLUE, "marker": "s"}, "min-p": {"color": GREEN, "marker": "^"},
    "typical": {"color": PURPLE, "marker": "D"}, "top-h": {"color": RED, "marker": "v"}, "target entropy": {"color": ORANGE, "marker": "o"},
    "held mean": {"color": ORANGE, "marker": "o", "mfc": "white", "ls": ":"}, "mirostat": {"color": "#2a9d9d", "marker": "P"},
    "adaptive-p": {"color": "#a08000", "marker": "X"}, "edt": {"color": "#7a5c3e", "marker": "<"},
    "greedy": {"color": "black", "marker": "*"}, "p-less": {"color": "black", "marker": "h", "mfc": "white"},
    "llama.cpp's default": {"color": "black", "marker": "p", "mfc": "white"},
}
BASE = "temperature"
RESAMPLES = 2000
LEFT = 0.58  # what has less diversity is said in words


def read(results):
    with open(os.path.join(results, "chains.json"), encoding="utf-8") as file:
        return json.load(file)


def by_chain(result):
    chains = {}
    for point in result["chains"]:
        chains.setdefault(point["chain"], []).append(point)
    return chains


def name_of(point):
    return f"{point['chain']} {point['setting']}".strip()


def diversity(self_bleu):
    return 1 - np.asarray(self_bleu)


def gain(point, base, chosen):
    """Nats of logprob above what plain temperature has at the same diversity, of these prompts; NaN beyond its ends."""
    at = [(diversity(b["of_prompts"]["self_bleu"])[chosen].mean(), np.asarray(b["of_prompts"]["logprob"])[chosen].mean()) for b in base]
    x, y = zip(*sorted(at))
    here = diversity(point["of_prompts"]["self_bleu"])[chosen].mean()
    return np.asarray(point["of_prompts"]["logprob"])[chosen].mean() - np.interp(here, x, y, left=np.nan, right=np.nan)


def gained(point, base):
    """Its interval over prompts that are drawn again: (gain, low, high), or None."""
    n, random = len(point["of_prompts"]["logprob"]), np.random.default_rng(1)
    whole = gain(point, base, np.arange(n))
    again = [gain(point, base, random.integers(0, n, n)) for _ in range(RESAMPLES)]
    again = [g for g in again if not np.isnan(g)]
    if np.isnan(whole) or len(again) < 0.9 * RESAMPLES:
        return None
    return whole, *np.quantile(again, (0.025, 0.975))


def between(value, digits=2):
    half = (value["high"] - value["low"]) / 2
    return f"{value['mean']:.{digits}f} ± {half:.{digits}f}"


def bought(result):
    base = by_chain(result)[BASE]
    rows = []
    for point in result["chains"]:
        found = None if point["chain"] == BASE else gained(point, base)
        said = "" if found is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(*found)
        rows.append([name_of(point), between(point["self_bleu"], 3), between(point["distinct_2"], 3), between(point["seq_rep_4"], 3),
                     between(point["logprob"]), said])
    own = result["own"]
    rows.append(["the stories' own words", "", "", between(own["seq_rep_4"], 3), between(own["logprob"]), ""])
    return table(["chain", "self-BLEU", "distinct-2", "seq-rep-4", "logprob", "logprob beside temperature's"], rows)


def held(result):
    rows = []
    for point in result["chains"]:
        if point["chain"] not in ("target entropy", "held mean", "mirostat", "adaptive-p", "temperature"):
            continue
        entropy, surprise = point["sampled_entropy"], point["surprise"]
        rows.append([name_of(point), f"{entropy['mean']:.2f}", f"{entropy['of_tokens']:.2f}", f"{entropy['of_texts']:.2f}",
                     f"{surprise['mean']:.2f}", f"{surprise['of_texts']:.2f}"])
    return table(["chain", "entropy drawn from", "SD over tokens", "SD over texts", "surprise", "SD over texts"], rows)


TABLES = (bought, held)


def draw(result, path):
    figure, axes = canvas("what it buys: diversity, and what it costs: probability", "repetition", width=6, height=6)
    handles = []
    for chain, points in by_chain(result).items():
        style = {"ls": "-", "lw": 1, "ms": 5, **STYLE[chain]}
        x = diversity([p["self_bleu"]["mean"] for p in points])
        for one, measure in zip(axes, ("logprob", "seq_rep_4")):
            one.plot(x, [p[measure]["mean"] for p in points], **style)
        for p, here in zip(points, x):
            axes[0].annotate(p["setting"], (here, p["logprob"]["mean"]), fontsize=7, xytext=(4, 4), textcoords="offset points",
                             color=style["color"], annotation_clip=True)
        handles.append(entry(chain, **style))
    for one, measure in zip(axes, ("logprob", "seq_rep_4")):
        one.axhline(result["own"][measure]["mean"], color="black", lw=0.8, ls="--")
        one.set_xlabel("1 - self-BLEU of a prompt's samples")
        one.set_xlim(LEFT, 0.99)
        left_out = [p for p in result["chains"] if diversity(p["self_bleu"]["mean"]) < LEFT]
        said = "\n".join(f"{name_of(p)}: {p[measure]['mean']:.2f} at {diversity(p['self_bleu']['mean']):.2f}" for p in left_out)
        one.text(0.02, 0.98, said, transform=one.transAxes, fontsize=8, va="top")
    handles.append(entry("the stories' own words", color="black", lw=0.8, ls="--"))
    axes[0].set_ylabel("mean ln p of a token at T = 1")
    axes[1].set_ylabel("seq-rep-4")
    above(figure, handles)
    save(figure, path)


if __name__ == "__main__":
    result = read(sys.argv[1])
    draw(result, os.path.join(sys.argv[2], "chains.png"))
    if sys.argv[3:]:
        fill(sys.argv[3], TABLES, result)
