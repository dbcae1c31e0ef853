"""Draws the pictures of docs/training-rl.md: draw.py RESULTS IMAGES. Needs matplotlib."""
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from arms import BETAS, DISCRETE, GYMNASIUM  # noqa: E402
from results import band, label, of, read  # noqa: E402

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#3974b1", "#c4632b", "#3b8a5a", "#8458a3", "#b3304a", "#888888"
SHADES = {"0": "black", "0.01": ORANGE, "0.1": PURPLE, "1": GREY,
          "PI": BLUE, "SAC": GREEN, "Skywork": RED, "0.1 to 0": "#5fa8a0", "CleanRL": GREY}
TITLES = {"deep-sea": "deep sea", "river-swim": "RiverSwim", "hopper": "Hopper", "half-cheetah": "HalfCheetah"}


def canvas(n_rows, *titles, height=3.6):
    n = len(titles) // n_rows
    figure, axes = plt.subplots(n_rows, n, figsize=(5 * n, height * n_rows), layout="constrained", squeeze=False)
    for one, title in zip(axes.flat, titles):
        one.set_title(title, fontsize=10, loc="left")
        one.grid(color="#e4e4e4")
        one.set_axisbelow(True)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, list(axes.flat)


def curves(axes, results, environment, names, field):
    """Means over the seeds, and the range of the seeds."""
    for arm in names:
        runs = of(results, environment, arm)
        if not runs:
            continue
        steps, mean, low, high = band(runs, field)
        axes.plot(steps, mean, color=SHADES[arm], label=label(arm), linewidth=1.6)
        axes.fill_between(steps, low, high, color=SHADES[arm], alpha=0.12, linewidth=0)
    axes.set(xlabel="steps", xlim=(0, None))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k" if x else "0")


def sweep(results):
    figure, panels = canvas(1, *(f"{TITLES[e]}: the last fifth of each run" for e in DISCRETE))
    for axes, environment in zip(panels, DISCRETE):
        means = []
        for x, beta in enumerate(BETAS):
            returns = [run["return"] for run in of(results, environment, f"{beta:g}")]
            axes.plot([x + 0.07 * (i - 2) for i in range(len(returns))], returns, "o", color=BLUE, markersize=4, alpha=0.7)
            means.append(sum(returns) / len(returns))
        axes.plot(range(len(BETAS)), means, color=BLUE, linewidth=1.6)
        axes.set_xticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
        axes.set(xlabel="entropy coefficient beta")
    panels[0].set_ylabel("mean return; a point a seed")
    return figure


def discrete(results):
    names = ("0", "0.01", "0.1", "1", "PI", "0.1 to 0")
    figure, panels = canvas(2, *(f"{TITLES[e]}: {what}" for e in DISCRETE for what in ("return", "entropy (nats)")))
    for row, environment in enumerate(DISCRETE):
        curves(panels[2 * row], results, environment, names, "returns")
        curves(panels[2 * row + 1], results, environment, names, "entropies")
    panels[1].legend(fontsize=8, frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1, 0.95))
    return figure


def continuous(results):
    shown = [e for e in GYMNASIUM if of(results, e, "0")]
    figure, panels = canvas(len(shown), *(f"{TITLES[e]}: {what}" for e in shown for what in ("entropy (nats)", "entropy coefficient", "return")))
    for row, environment in enumerate(shown):
        entropy, coefficient, returns = panels[3 * row:3 * row + 3]
        curves(entropy, results, environment, ("0", "0.01", "PI", "SAC", "Skywork"), "entropies")
        curves(coefficient, results, environment, ("PI", "SAC", "Skywork"), "coefficients")
        curves(returns, results, environment, ("0", "0.01", "PI", "SAC", "Skywork"), "returns")
        targets = [run["target"] for run in of(results, environment, "PI")]
        entropy.axhline(sum(targets) / len(targets), color="black", linewidth=1, linestyle=":")
        entropy.legend(fontsize=8, frameon=False, ncols=2)
    return figure


def peer(results):
    shown = [e for e in GYMNASIUM if of(results, e, "CleanRL")]
    figure, panels = canvas(1, *(f"{TITLES[e]}: return" for e in shown))
    for axes, environment in zip(panels, shown):
        curves(axes, results, environment, ("CleanRL", "0", "PI"), "returns")
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


PICTURES = (sweep, discrete, continuous, peer)


def main(path, images):
    results = read(path)
    os.makedirs(images, exist_ok=True)
    for picture in PICTURES:
        figure = picture(results)
        figure.savefig(os.path.join(images, f"training-{picture.__name__}.png"), dpi=110, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
