"""Draws the pictures of docs/training-rl.md: draw.py RESULTS IMAGES. Needs matplotlib."""
import math
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from arms import BETAS, DISCRETE, GYMNASIUM  # noqa: E402
from results import band, label, of, read  # noqa: E402

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#3974b1", "#c4632b", "#3b8a5a", "#8458a3", "#b3304a", "#888888"
SHADES = {"0": "black", "0.01": ORANGE, "0.1": PURPLE, "1": GREY,
          "PI": BLUE, "SAC": GREEN, "Skywork": RED, "0.1 to 0": "#5fa8a0"}
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


def curves(axes, results, environment, names, field, shades=SHADES):
    """The mean over the seeds, and each seed as a thin line: a range says nothing where some seeds succeed and others do not."""
    for arm in names:
        runs = of(results, environment, arm)
        if not runs:
            continue
        for run in runs:
            axes.plot(*band([run], field)[:2], color=shades[arm], linewidth=0.5, alpha=0.45)
        axes.plot(*band(runs, field)[:2], color=shades[arm], linewidth=2, zorder=3)
    axes.set(xlabel="steps", xlim=(0, None))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k" if x else "0")


def target(axes, results, environment):
    """Where the controllers were told to hold the entropy, a line of its own."""
    targets = [run["target"] for run in of(results, environment, "PI")]
    axes.axhline(sum(targets) / len(targets), color="black", linewidth=1.2, linestyle=":", zorder=4)


def seeds(results, environments, arm):
    """"n = 5", or "n = 5 to 8" where environments have not as many each; "" for none."""
    counts = {len(of(results, environment, arm)) for environment in environments} - {0}
    return counts and f"n = {min(counts)}" + (f" to {max(counts)}" if len(counts) > 1 else "")


def above(figure, handles):
    """A legend above the panels, of two inches an entry."""
    width, height = figure.get_size_inches()
    n_columns = min(len(handles), int(width / 2))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.25 * math.ceil(len(handles) / n_columns) / height))
    figure.legend(handles=handles, fontsize=9, frameon=False, ncols=n_columns, loc="upper center")


def legend(figure, results, environments, names, shades=SHADES, more=()):
    """One for all panels, above them."""
    arms = [(arm, seeds(results, environments, arm)) for arm in names]
    handles = [Line2D([], [], color=shades[arm], linewidth=2, label=f"{label(arm)} ({n})") for arm, n in arms if n]
    handles += [Line2D([], [], color=GREY, linewidth=0.5, label="one seed"), *more]
    above(figure, handles)


def dotted():
    return Line2D([], [], color="black", linewidth=1.2, linestyle=":", label="target")


def sweep(results):
    """The axis is logarithmic, and 0 stands apart at its left, unconnected."""
    figure, panels = canvas(1, *(f"{TITLES[e]}: the last fifth of each run" for e in DISCRETE))
    places = [math.log10(beta) if beta else -3.8 for beta in BETAS]
    for axes, environment in zip(panels, DISCRETE):
        means = []
        for x, beta in zip(places, BETAS):
            returns = [run["return"] for run in of(results, environment, f"{beta:g}")]
            side = [0.25 * (i / max(1, len(returns) - 1) - 0.5) for i in range(len(returns))]
            axes.plot([x + s for s in side], returns, "o", color=BLUE, markersize=4, alpha=0.6)
            means.append(sum(returns) / len(returns))
        axes.plot(places[1:], means[1:], color=ORANGE, linewidth=1.6)
        axes.plot(places, means, "_", color=ORANGE, markersize=16, markeredgewidth=2)
        axes.axvline(-3.4, color=GREY, linewidth=1, linestyle="--")
        axes.set_xticks(places, [f"{beta:g}" for beta in BETAS])
        axes.set(xlabel="entropy coefficient beta (log scale; 0 apart)", ylabel="return")
    n = seeds(results, DISCRETE, f"{BETAS[0]:g}")
    above(figure, [Line2D([], [], color=BLUE, marker="o", markersize=4, alpha=0.6, linestyle="", label=f"one seed ({n} each)"),
                   Line2D([], [], color=ORANGE, linewidth=1.6, label="mean of the seeds")])
    return figure


def discrete(results):
    names = ("0", "0.01", "0.1", "1", "PI", "0.1 to 0")
    figure, panels = canvas(2, *(f"{TITLES[e]}: {what}" for e in DISCRETE for what in ("return", "entropy (nats)")))
    for row, environment in enumerate(DISCRETE):
        curves(panels[2 * row], results, environment, names, "returns")
        curves(panels[2 * row + 1], results, environment, names, "entropies")
        target(panels[2 * row + 1], results, environment)
    legend(figure, results, DISCRETE, names, more=[dotted()])
    return figure


def continuous(results):
    shown = [e for e in GYMNASIUM if of(results, e, "0")]
    names = ("0", "0.01", "PI", "SAC", "Skywork")
    figure, panels = canvas(len(shown), *(f"{TITLES[e]}: {what}" for e in shown for what in ("entropy (nats)", "entropy coefficient", "return")))
    for row, environment in enumerate(shown):
        entropy, coefficient, returns = panels[3 * row:3 * row + 3]
        curves(entropy, results, environment, names, "entropies")
        curves(coefficient, results, environment, names[2:], "coefficients")
        curves(returns, results, environment, names, "returns")
        target(entropy, results, environment)
    legend(figure, results, shown, names, more=[dotted()])
    return figure


def peer(results):
    """The two that are twins, in hues of their own."""
    shown, names, shades = [e for e in GYMNASIUM if of(results, e, "CleanRL")], ("CleanRL", "0"), {"CleanRL": ORANGE, "0": BLUE}
    figure, panels = canvas(1, *(f"{TITLES[e]}: return" for e in shown))
    for axes, environment in zip(panels, shown):
        curves(axes, results, environment, names, "returns", shades)
    legend(figure, results, shown, names, shades)
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
