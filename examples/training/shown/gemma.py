"""What gemma.py found."""

from statistics import fmean as mean

import figures
import logs
from tables import table

ARMS = {"none": ("no control", "black"), "pi": ("PI, told to hold 0.9 nats", figures.BLUE)}


def target(runs):
    return runs["pi"][0].head["settings"]["controller"]["target"]


def gemma_runs(runs):
    """Of the last half of the steps, and of the questions that were held out, before and after."""
    rows = []
    for name, (title, _) in ARMS.items():
        (run,) = runs[name]
        half = len(run.column("entropy")[1]) // 2
        entropies = run.column("entropy")[1]
        distance = mean([abs(x - target(runs)) for x in entropies[half:]])
        row = [title, f"{mean(entropies[:half]):.2f}", f"{mean(entropies[half:]):.2f}", f"{distance:.2f}",
               f"{mean(run.column('reward')[1][half:]):.2f}"]
        row += ["{:.2f}, {:.2f}".format(run.column(field)[1][0], run.last(field)) for field in ("greedy", "drawn", "pass8")]
        rows.append([*row, logs.minutes([run])])
    return table(["", "entropy, first half", "second half", f"its distance from {target(runs)}", "reward, second half", "held out: greedy, before and after",
                  "draws", "pass@8", "minutes"], rows)


def gemma(runs):
    figure, panels = figures.canvas("entropy of a token (nats)", "coefficient", "reward in training", "held out: accuracy of draws",
                                    n_rows=2)
    for axes, field in zip(panels, ("entropy", "coefficient", "reward", "drawn")):
        for name, (_, color) in ARMS.items():
            axes.plot(*runs[name][0].column(field), color=color, linewidth=2, marker="o", markersize=3)
        axes.set(xlabel="optimizer steps", xlim=(0, None))
    panels[0].axhline(target(runs), color="black", linewidth=1.2, linestyle=":")
    entries = [figures.entry(title, color=color, linewidth=2) for title, color in ARMS.values()]
    figures.above(figure, [*entries, figures.entry("target", color="black", linewidth=1.2, linestyle=":")])
    return figure


PICTURES = (gemma,)
TABLES = (gemma_runs,)
