"""What grpo.py found."""

import figures
import logs
from tables import table

TITLES = {
    "none": "no control",
    "fixed": "fixed, 0.1",
    "fixed-low": "fixed, 0.02 (added)",
    "trl": "TRL's adaptive mode",
    "pi": "Entrol's PI",
    "sac": "SAC's dual step",
    "mask": "80/20 mask",
    "clip-cov": "Clip-Cov",
    "kl-cov": "KL-Cov",
}
SHADES = {
    "none": "black",
    "fixed": figures.ORANGE,
    "fixed-low": "#d9a441",
    "trl": figures.RED,
    "pi": figures.BLUE,
    "sac": figures.GREEN,
    "mask": figures.GREY,
    "clip-cov": figures.PURPLE,
    "kl-cov": "#5fa8a0",
}
TRIED = {
    "greedy": "greedy accuracy",
    "drawn": "accuracy of draws",
    "pass8": "pass@8",
    "different": "right answers in 8",
}
TARGET = 0.4


def end(name):
    """Of the last three times that the held-out problems were tried."""
    return lambda run: sum(run.column(name)[1][-3:]) / 3


def tenth(name, which):
    """The mean over the first (0) or the last (-1) tenth of a run."""

    def value(run):
        values = run.column(name)[1]
        n = len(values) // 10
        return sum(values[:n] if which == 0 else values[-n:]) / n

    return value


def distance(run):
    """The mean of |H - target| over the last half of a run, in nats."""
    values = run.column("entropy")[1]
    half = values[len(values) // 2 :]
    return sum(abs(value - TARGET) for value in half) / len(half)


def spread(runs, value, form="{:.3f} ± {:.3f}"):
    return form.format(*logs.spread([value(run) for run in runs]))


def between(runs, others, value):
    """The mean difference of pairs, and its 95 % interval."""
    return logs.said(*logs.difference(runs, others, value), "+.3f")


def arms(runs):
    return [name for name in TITLES if name in runs]


def grpo_entropy(runs):
    rows = []
    for name in arms(runs):
        coefficients = [run.column("coefficient")[1] for run in runs[name]]
        commanded = [tenth("coefficient", -1)(run) for run in runs[name]] if all(coefficients) else []
        left = spread(
            runs[name],
            lambda run: 100 * tenth("entropy", -1)(run) / run.column("entropy")[1][0],
            "{:.0f} ± {:.0f} %",
        )
        against = "" if name == "none" else between(runs[name], runs["none"], distance)
        rows.append(
            [TITLES[name], spread(runs[name], tenth("entropy", -1)), left, spread(runs[name], distance), against]
        )
        rows[-1].append("{:.3f} ± {:.3f}".format(*logs.spread(commanded)) if commanded else "")
    head = ["", "entropy in the last tenth (nats)", "of that at first", "mean distance from 0.4 in the last half"]
    return table(head + ["difference from no control", "coefficient in the last tenth"], rows)


def grpo_end(runs):
    rows = [
        [TITLES[name], spread(runs[name], tenth("reward", -1)), *(spread(runs[name], end(field)) for field in TRIED)]
        for name in arms(runs)
    ]
    first = runs["none"][0]
    rows.insert(0, ["before GRPO", "", *(f"{first.column(field)[1][0]:.3f}" for field in TRIED)])
    return table(["", "reward in the last tenth", *TRIED.values()], rows)


def grpo_differences(runs):
    rows = [
        [TITLES[name], *(between(runs[name], runs["none"], end(field)) for field in TRIED)]
        for name in arms(runs)
        if name != "none"
    ]
    return table(["difference from no control", *TRIED.values()], rows)


def said(run):
    return run.column("forecast")[1][-1]


def grpo_forecast(runs):
    rows = []
    for name in arms(runs):
        fits = [said(run) for run in runs[name]]
        held = sum(fit["low"] <= fit["came"] <= fit["high"] for fit in fits)
        width = sum(fit["high"] - fit["low"] for fit in fits) / len(fits)
        errors = [sum(abs(fit[field] - fit["came"]) for fit in fits) / len(fits) for field in ("reward", "first")]
        rising = sum(fit["a"] > 0 for fit in fits)
        rows.append(
            [
                TITLES[name],
                f"{rising} of {len(fits)}",
                *(spread(runs[name], lambda run, f=f: said(run)[f]) for f in ("reward", "came")),
            ]
        )
        rows[-1] += [f"{held} of {len(fits)}", f"{width:.2f}", *(f"{error:.3f}" for error in errors)]
    head = ["", "a above 0", "forecast of the last tenth", "it came", "within 95 %", "width of that", "mean error"]
    return table(head + ["of: as in the first tenth"], rows)


def curves(axes, runs, field, names=TITLES):
    """The mean over seeds, and each seed as a thin line."""
    for name in names:
        if name not in runs:
            continue
        columns = [run.column(field) for run in runs[name]]
        for steps, values in columns:
            axes.plot(steps, smooth(values), color=SHADES[name], linewidth=0.5, alpha=0.4)
        mean = [sum(values) / len(values) for values in zip(*(column[1] for column in columns))]
        axes.plot(columns[0][0], smooth(mean), color=SHADES[name], linewidth=1.8)
    axes.set(xlabel="optimizer steps", xlim=(0, None))


def smooth(values, n=5):
    """Means of some neighbours, where there are many."""
    if len(values) < 20:
        return values
    windows = [values[max(0, i - n // 2) : i + n // 2 + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def legend(figure, runs):
    n = len(runs["none"])
    handles = [figures.entry(TITLES[name], color=SHADES[name], linewidth=2) for name in arms(runs)]
    handles += [figures.entry(f"one seed ({n} each)", color=figures.GREY, linewidth=0.5)]
    figures.above(figure, [*handles, figures.entry("target", color="black", linewidth=1.2, linestyle=":")])


def grpo(runs):
    titles = ("entropy of a token (nats, log scale)", "coefficient", "reward in training")
    titles += ("held out: accuracy of draws", "held out: pass@8", "held out: different right answers in 8 draws")
    figure, panels = figures.canvas(*titles, n_rows=2, width=4.4, height=3.3)
    for axes, field in zip(panels, ("entropy", "coefficient", "reward", "drawn", "pass8", "different")):
        curves(axes, runs, field, [name for name in arms(runs) if runs[name][0].column(field)[1]])
    ticks = (0.2, 0.4, 0.8, 1.6, 3.2)
    panels[0].set(yscale="log")
    panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].minorticks_off()
    for axes, low in zip(panels[3:], (0.18, 0.45, 0.6)):  # two arms go to 0
        axes.set_ylim(low, None)
    panels[0].axhline(TARGET, color="black", linewidth=1.2, linestyle=":", zorder=4)
    legend(figure, runs)
    return figure


PICTURES = (grpo,)
TABLES = (grpo_entropy, grpo_end, grpo_differences, grpo_forecast)
