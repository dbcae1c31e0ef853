#!/usr/bin/env python3
"""Draws the controllers' step responses, a panel for each on each plant: bench/plot_plant.py build/plant docs/images/control.png"""
import csv
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

PLANTS = ["nominal", "slow", "noisy", "late", "gain / 10", "gain x 10"]
SHOWN = ["constant", "sac", "skywork", "pi", "entropic", "box", "aer", "aepo"]
RIGHT = {"constant": None, "box": (1, 1.5)}  # what is right, as shares of the target; box's is from 0.4x to 0.6x
TOPS = {"constant": 6, "sac": 12}  # the axis's end in nats, by row; what goes beyond is said in the panel
TOP = 1.2


def draw(panel, rows, controller):
    own = [row for row in rows if row["controller"] == controller]
    entropies, targets = ([float(row[name]) for row in own] for name in ("entropy", "target"))
    steps, top = [int(row["step"]) for row in own], TOPS.get(controller, TOP)
    right = RIGHT.get(controller, (0.9, 1.1))
    if right:
        panel.axhspan(*(share * targets[-1] for share in right), color="#d9d9d9", linewidth=0)
    colour = "#c4632b" if right else "#777777"
    crossings = sum((a < targets[-1]) != (b < targets[-1]) for a, b in zip(entropies, entropies[1:]))
    is_fast = max(entropies[-400:]) - min(entropies[-400:]) > 0.15 and crossings > 200  # it would fill the panel
    panel.plot(steps, entropies, color=colour, linewidth=0.2 if is_fast else 0.8, alpha=0.5 if is_fast else 1)
    if is_fast:
        inset = panel.inset_axes([0.42, 0.58, 0.56, 0.4])
        inset.plot(steps[2000:2100], entropies[2000:2100], color=colour, linewidth=0.8)
        inset.set(ylim=(0.1, 0.6), xticks=[], yticks=[])
        inset.set_title("100 of the steps", fontsize=7, pad=2)
    panel.set(ylim=(0, top), xlim=(0, max(steps)), xticks=[0, 1000, 2000], yticks={TOP: [0, 0.5, 1], 6: [0, 2, 4]}.get(top, [0, 5, 10]))
    if max(entropies) > top:
        panel.text(0.97, 0.93, f"up to {max(entropies):.1f}", transform=panel.transAxes, ha="right", va="top", fontsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def main(program, output):
    figure, panels = plt.subplots(len(SHOWN), len(PLANTS), figsize=(13, 12), sharex=True, sharey="row", layout="constrained")
    for column, plant in enumerate(PLANTS):
        text = subprocess.run([program, "--trace", plant], capture_output=True, text=True, check=True).stdout
        rows = list(csv.DictReader(text.splitlines()))
        for line, controller in enumerate(SHOWN):
            draw(panels[line][column], rows, controller)
        panels[0][column].set_title(plant)
        panels[-1][column].set_xlabel("training step")
    for line, controller in enumerate(SHOWN):
        panels[line][0].set_ylabel(f"{controller}\nentropy, nats")
    figure.savefig(output, dpi=90)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
