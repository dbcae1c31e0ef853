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
TOP = 1.2  # what goes beyond is said in the panel


def draw(panel, rows, controller):
    own = [row for row in rows if row["controller"] == controller]
    entropies, targets = ([float(row[name]) for row in own] for name in ("entropy", "target"))
    steps = [int(row["step"]) for row in own]
    if controller != "constant":
        panel.axhspan(0.9 * targets[-1], 1.1 * targets[-1], color="#d9d9d9", linewidth=0)
    panel.plot(steps, entropies, color="#c4632b" if controller != "constant" else "#777777", linewidth=0.8)
    panel.set(ylim=(0, TOP), xlim=(0, max(steps)), xticks=[0, 1000, 2000], yticks=[0, 0.5, 1])
    if max(entropies) > TOP:
        panel.text(0.97, 0.93, f"up to {max(entropies):.1f}", transform=panel.transAxes, ha="right", va="top", fontsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def main(program, output):
    figure, panels = plt.subplots(len(SHOWN), len(PLANTS), figsize=(13, 12), sharex=True, sharey=True, layout="constrained")
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
