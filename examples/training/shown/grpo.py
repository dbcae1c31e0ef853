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
LOST = ("fixed", "sac")  # which go to 0, though SAC's comes back in two of three seeds
TRIED = {
    "greedy": "greedy accuracy",
    "drawn": "accuracy of draws",
    "pass8": "pass@8",
    "different": "right answers in 8",
}


def end(name):
    """Of the last three times that the held-out problems were tried."""
    return lambda run: sum(run.column(name)[1][-3:]) / 3


def middle(name):
    """Of the time that the held-out problems were tried after half of the steps."""
    return lambda run: run.column(name)[1][len(run.column(name)[1]) // 2]


def tenth(name, which):
    """The mean over the first (0) or the last (-1) tenth of a run."""

    def value(run):
        values = run.column(name)[1]
        n = len(values) // 10
        return sum(values[:n] if which == 0 else values[-n:]) / n

    return value


def target(runs):
    return runs["pi"][0].head["settings"]["controller"]["target"]


def distance(aim):
    """The mean of |H - target| over the last half of a run, in nats."""

    def value(run):
        values = run.column("entropy")[1]
        half = values[len(values) // 2 :]
        return sum(abs(entropy - aim) for entropy in half) / len(half)

    return value


def spread(runs, value, form=".3f"):
    return logs.plus_minus([value(run) for run in runs], form)


def arms(runs):
    return [name for name in TITLES if name in runs]


def grpo_entropy(runs):
    rows, away = [], distance(target(runs))
    for name in arms(runs):
        some = runs[name]
        left = spread(some, lambda run: 100 * tenth("entropy", -1)(run) / run.column("entropy")[1][0], ".0f")
        row = [TITLES[name], spread(some, tenth("entropy", -1)), f"{left} %", spread(some, away)]
        row.append("" if name == "none" else logs.ahead(some, runs["none"], away, "+.3f"))
        has_coefficient = all(run.column("coefficient")[1] for run in some)
        rows.append([*row, spread(some, tenth("coefficient", -1)) if has_coefficient else ""])
    head = ["", "entropy in the last tenth (nats)", "of that at first"]
    head += [f"mean distance from {target(runs)} in the last half", "difference from no control"]
    return table([*head, "coefficient in the last tenth"], rows)


def grpo_end(runs):
    rows = [
        [TITLES[name], spread(runs[name], tenth("reward", -1)), *(spread(runs[name], end(field)) for field in TRIED)]
        for name in arms(runs)
    ]
    first = runs["none"][0]
    rows.insert(0, ["before GRPO", "", *(f"{first.column(field)[1][0]:.3f}" for field in TRIED)])
    rows.append(["no control, after half of the steps", "", *(spread(runs["none"], middle(field)) for field in TRIED)])
    return table(["", "reward in the last tenth", *TRIED.values()], rows)


def grpo_differences(runs):
    rows = [
        [TITLES[name], *(logs.ahead(runs[name], runs["none"], end(field), "+.3f") for field in TRIED)]
        for name in arms(runs)
        if name != "none"
    ]
    pairs = list(zip(runs["pi"], runs["none"], strict=True))  # by seed, as read() has them
    since = [logs.interval([end(field)(run) - middle(field)(other) for run, other in pairs]) for field in TRIED]
    rows.append(["Entrol's PI, from no control after half of the steps", *(logs.said(*pair, "+.3f") for pair in since)])
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


def curves(axes, runs, field):
    """The mean over seeds, and each seed as a thin line, of the arms that have the field."""
    for name in arms(runs):
        columns = [run.column(field) for run in runs[name]]
        if columns[0][1]:
            figures.seeds(axes, columns, SHADES[name], smooth)
    axes.set(xlabel="optimizer steps", xlim=(0, None))


def at_the_end(axes, runs, field):
    """What each arm is ahead of no control by, and the 95 % interval; not of LOST."""
    names = [name for name in arms(runs) if name not in ("none", *LOST)][::-1]
    for y, name in enumerate(names):
        mean, half = logs.difference(runs[name], runs["none"], end(field))
        axes.errorbar(mean, y, xerr=half, fmt="o", color=SHADES[name], capsize=3)
    axes.axvline(0, color="black", linewidth=1.2)
    axes.set_yticks(range(len(names)), [TITLES[name] for name in names], fontsize=8)
    axes.set(xlabel="difference from no control", ylim=(-0.6, len(names) - 0.4))


def smooth(values, n=5):
    """Means of some neighbours, where there are many."""
    if len(values) < 20:
        return values
    windows = [values[max(0, i - n // 2) : i + n // 2 + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def legend(figure, runs):
    handles = [figures.entry(TITLES[name], color=SHADES[name], linewidth=2) for name in arms(runs)]
    figures.above(
        figure, [*handles, figures.one_seed(), figures.entry("target", color="black", linewidth=1.2, linestyle=":")]
    )


def grpo(runs):
    titles = ("entropy of a token (nats, log scale)", "coefficient", "reward in training")
    titles += (
        "held out: accuracy of draws",
        "held out: pass@8 at the end",
        "held out: different right answers in 8 draws",
    )
    figure, panels = figures.canvas(*titles, n_rows=2, width=4.4, height=3.3)
    at_the_end(panels[4], runs, "pass8")
    others = [*panels[:4], panels[5]]
    for axes, field in zip(others, ("entropy", "coefficient", "reward", "drawn", "different")):
        curves(axes, runs, field)
    ticks = (0.2, 0.4, 0.8, 1.6, 3.2)
    panels[0].set(yscale="log")
    panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].minorticks_off()
    for axes, low in zip(others[3:], (0.18, 0.6)):  # LOST leave them
        axes.set_ylim(low, None)
    panels[0].axhline(target(runs), color="black", linewidth=1.2, linestyle=":", zorder=4)
    legend(figure, runs)
    return figure


PICTURES = (grpo,)
TABLES = (grpo_entropy, grpo_end, grpo_differences, grpo_forecast)
