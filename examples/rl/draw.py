"""Draws the pictures of docs/training-rl.md: draw.py RESULTS IMAGES. Needs matplotlib."""
import math
import os
import sys

from arms import BETAS, DISCRETE, GYMNASIUM
from results import band, label, of, read

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, above, canvas, entry, save  # noqa: E402

SHADES = {"0": "black", "0.01": ORANGE, "0.1": PURPLE, "1": GREY,
          "PI": BLUE, "SAC": GREEN, "Skywork": RED, "0.1 to 0": "#5fa8a0"}
TITLES = {"deep-sea": "deep sea", "river-swim": "RiverSwim", "hopper": "Hopper", "half-cheetah": "HalfCheetah"}


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


def legend(figure, results, environments, names, shades=SHADES, more=()):
    """One for all panels, above them."""
    arms = [(arm, seeds(results, environments, arm)) for arm in names]
    handles = [entry(f"{label(arm)} ({n})", color=shades[arm], linewidth=2) for arm, n in arms if n]
    handles += [entry("one seed", color=GREY, linewidth=0.5), *more]
    above(figure, handles)


def dotted():
    return entry("target", color="black", linewidth=1.2, linestyle=":")


def sweep(results):
    """The axis is logarithmic, and 0 stands apart at its left, unconnected."""
    figure, panels = canvas(*(f"{TITLES[e]}: the last fifth of each run" for e in DISCRETE))
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
    above(figure, [entry(f"one seed ({n} each)", color=BLUE, marker="o", markersize=4, alpha=0.6, linestyle=""),
                   entry("mean of the seeds", color=ORANGE, linewidth=1.6)])
    return figure


def discrete(results):
    names = ("0", "0.01", "0.1", "1", "PI", "0.1 to 0")
    figure, panels = canvas(*(f"{TITLES[e]}: {what}" for e in DISCRETE for what in ("return", "entropy (nats)")), n_rows=2)
    for row, environment in enumerate(DISCRETE):
        curves(panels[2 * row], results, environment, names, "returns")
        curves(panels[2 * row + 1], results, environment, names, "entropies")
        target(panels[2 * row + 1], results, environment)
    legend(figure, results, DISCRETE, names, more=[dotted()])
    return figure


def continuous(results):
    shown = [e for e in GYMNASIUM if of(results, e, "0")]
    names = ("0", "0.01", "PI", "SAC", "Skywork")
    figure, panels = canvas(*(f"{TITLES[e]}: {what}" for e in shown for what in ("entropy (nats)", "entropy coefficient", "return")), n_rows=len(shown))
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
    figure, panels = canvas(*(f"{TITLES[e]}: return" for e in shown))
    for axes, environment in zip(panels, shown):
        curves(axes, results, environment, names, "returns", shades)
    legend(figure, results, shown, names, shades)
    return figure


PICTURES = (sweep, discrete, continuous, peer)


def main(path, images):
    results = read(path)
    for picture in PICTURES:
        save(picture(results), os.path.join(images, f"training-{picture.__name__}.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
