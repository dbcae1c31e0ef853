"""What agents.py found."""

from statistics import fmean as mean

import figures
import logs
from tables import table

TASKS = ("acrobot", "pendulum")
COLORS = {
    "fixed 0": "black",
    "fixed 0.01": "#d9a441",
    "fixed 0.1": figures.ORANGE,
    "fixed 1": figures.PURPLE,
    "pi": figures.BLUE,
    "sac": figures.GREEN,
}
TITLES = {"pi": "PI", "sac": "SAC's dual step"}


def arms(runs, task):
    """{name: runs} of a task, in the order of agents.py."""
    return {name: runs[f"{task} {name}"] for name in COLORS if f"{task} {name}" in runs}


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
                    logs.plus_minus([mean(late(run, "entropy", 0.5)) for run in arm], ".2f"),
                    logs.plus_minus([distance(run, aim) for run in arm], ".2f"),
                    logs.plus_minus([run.last("coefficient") for run in arm], ".3f"),
                    logs.plus_minus([last_returns(run) for run in arm], ".0f"),
                    "" if arm is none else logs.ahead(arm, none, last_returns, "+.0f"),
                    logs.ahead(arm, best, last_returns, "+.0f") if name in TITLES else "",
                    logs.plus_minus([run.last("played") for run in arm], ".0f"),
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


def agents_pairs(runs):
    """How much further from the target SAC's dual step is than PI."""
    rows = []
    for task in TASKS:
        aim = target(runs, task)
        pair = (runs[f"{task} {name}"] for name in ("sac", "pi"))
        rows.append([task, logs.ahead(*pair, lambda run, aim=aim: distance(run, aim), "+.3f")])
    return table(["", "SAC's dual step is further from the target than PI by"], rows)


def agents(runs):
    figure, panels = figures.canvas(
        *(f"{task}: {what}" for task in TASKS for what in ("entropy (nats)", "coefficient", "return")), n_rows=2
    )
    for row, task in enumerate(TASKS):
        for name, arm in arms(runs, task).items():
            for axes, field in zip(panels[3 * row :], ("entropy", "coefficient", "return")):
                figures.seeds(axes, [run.column(field) for run in arm], COLORS[name])
        panels[3 * row].axhline(target(runs, task), color="black", linewidth=1.2, linestyle=":", zorder=4)
    for which, limits in (
        (2, (-150, -70)),
        (3, (-3, 1)),
        (5, (-500, -80)),
    ):  # the beginnings, and -16 nats without a bonus
        panels[which].set_ylim(*limits)
    for axes in panels:
        axes.set(xlabel="steps", xlim=(0, None))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k" if x else "0")
    handles = [figures.entry(title(name), color=color, linewidth=2) for name, color in COLORS.items()]
    figures.above(
        figure,
        [*handles, figures.one_seed(), figures.entry("target", color="black", linewidth=1.2, linestyle=":")],
    )
    return figure


PICTURES = (agents,)
TABLES = (agents_table, agents_pairs)
