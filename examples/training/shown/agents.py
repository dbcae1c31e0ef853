"""What agents.py found."""

from statistics import fmean as mean

import figures
import logs
from tables import table

TASKS = ("acrobot", "pendulum")
COLORS = (figures.GREY, figures.ORANGE, figures.PURPLE, figures.BLUE, figures.GREEN)
TITLES = {"pi": "PI", "sac": "SAC's dual step"}


def arms(runs, task):
    """{name: runs} of a task, in the order of agents.py."""
    order = ("fixed 0", "fixed 0.01", "fixed 0.1", "fixed 1", "pi", "sac")
    return {name: runs[f"{task} {name}"] for name in order if f"{task} {name}" in runs}


def title(name):
    return TITLES.get(name, name.replace("fixed", "beta"))


def late(run, name, share):
    """The values of a field in the last share of a run."""
    steps, values = run.column(name)
    return [value for step, value in zip(steps, values) if step > (1 - share) * run.last_step()]


def target(runs, task):
    return runs[f"{task} pi"][0].last("target")


def distance(run, aim):
    return mean([abs(entropy - aim) for entropy in late(run, "entropy", 0.5)])


def last_returns(run):
    return mean(late(run, "return", 0.2))


def spread(values, digits):
    return "{:.{d}f} ± {:.{d}f}".format(*logs.spread(values), d=digits)


def ahead(arm, other):
    """The difference of the returns, and its 95 % interval."""
    return logs.said(*logs.difference(arm, other, last_returns), "+.0f")


def agents_table(runs):
    rows = []
    for task in TASKS:
        aim, none = target(runs, task), runs[f"{task} fixed 0"]
        fixed = [arm for name, arm in arms(runs, task).items() if name.startswith("fixed")]
        best = max(fixed, key=lambda arm: mean([last_returns(run) for run in arm]))
        for name, arm in arms(runs, task).items():
            rows.append(
                [
                    task,
                    title(name),
                    spread([mean(late(run, "entropy", 0.5)) for run in arm], 2),
                    spread([distance(run, aim) for run in arm], 2),
                    spread([run.last("coefficient") for run in arm], 3),
                    spread([last_returns(run) for run in arm], 0),
                    "" if arm is none else ahead(arm, none),
                    ahead(arm, best) if name in TITLES else "",
                    spread([run.last("played") for run in arm], 0),
                ]
            )
    return table(
        [
            "",
            "coefficient",
            "entropy in the second half",
            "distance from the target",
            "coefficient at the end",
            "return in the last fifth",
            "less that of beta 0",
            "of the best beta",
            "return of its best actions at the end",
        ],
        rows,
    )


def said(names):
    """A name that both tasks have, or each with its task."""
    if len(names) == 1:
        return next(iter(names))
    return ", ".join(f"{name} ({' '.join(tasks)})" for name, tasks in names.items())


def agents(runs):
    figure, panels = figures.canvas(
        *(f"{task}: {what}" for task in TASKS for what in ("entropy (nats)", "coefficient", "return")), n_rows=2
    )
    entries = {}
    for row, task in enumerate(TASKS):
        for (name, arm), color in zip(arms(runs, task).items(), COLORS):
            for axes, field in zip(panels[3 * row :], ("entropy", "coefficient", "return")):
                columns = [run.column(field) for run in arm]
                for steps, values in columns:
                    axes.plot(steps, values, color=color, linewidth=0.5, alpha=0.4)
                steps = sorted(set.intersection(*(set(c[0]) for c in columns)))
                axes.plot(
                    steps,
                    [mean([dict(zip(*c))[s] for c in columns]) for s in steps],
                    color=color,
                    linewidth=2,
                    zorder=3,
                )
            entries.setdefault(color, {}).setdefault(title(name), []).append(task)
        panels[3 * row].axhline(target(runs, task), color="black", linewidth=1.2, linestyle=":", zorder=4)
    panels[3].set_ylim(-3, 1)
    for axes in panels:
        axes.set(xlabel="steps", xlim=(0, None))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k" if x else "0")
    handles = [figures.entry(said(names), color=color, linewidth=2) for color, names in entries.items()]
    figures.above(
        figure,
        [
            *handles,
            figures.entry("one seed", color=figures.GREY, linewidth=0.5),
            figures.entry("target", color="black", linewidth=1.2, linestyle=":"),
        ],
    )
    return figure


PICTURES = (agents,)
TABLES = (agents_table,)
