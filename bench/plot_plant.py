#!/usr/bin/env python3
"""Draws the controllers' step responses: bench/plot_plant.py build/plant docs/images/control.png"""
import csv
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

PLANTS = ["nominal", "noisy", "late", "gain x 10"]
SHOWN = {"constant": "#999999", "skywork": "#3974b1", "pi": "#c4632b", "entropic": "#4c9a4c", "box": "#8a5fb0", "aer": "#b04a6d",
         "aepo": "#7a6a3a"}


def main(program, output):
    figure, panels = plt.subplots(2, len(PLANTS), figsize=(13, 6), sharex=True, layout="constrained", height_ratios=[3, 2])
    for column, plant in enumerate(PLANTS):
        text = subprocess.run([program, "--trace", plant], capture_output=True, text=True, check=True).stdout
        rows = list(csv.DictReader(text.splitlines()))
        for name, color in SHOWN.items():
            own = [row for row in rows if row["controller"] == name]
            steps = [int(row["step"]) for row in own]
            panels[0][column].plot(steps, [float(row["entropy"]) for row in own], color=color, linewidth=1, label=name)
            if name in ("skywork", "pi", "box", "aer", "constant"):
                panels[1][column].plot(steps, [float(row["coefficient"]) for row in own], color=color, linewidth=1)
        target = next(float(row["target"]) for row in rows if row["controller"] == "pi")
        panels[0][column].axhline(target, color="black", linewidth=0.8, linestyle=":")
        panels[0][column].set(title=plant, ylim=(0, 1.1))
        panels[1][column].set(xlabel="training step", yscale="symlog", ylim=(0, 0.2))
        panels[1][column].set_yscale("symlog", linthresh=0.001)
    panels[0][0].set_ylabel("entropy, nats (dotted: the target of pi)")
    panels[1][0].set_ylabel("entropy coefficient")
    panels[0][0].legend(fontsize=8, frameon=False)
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
