"""What labels.py found."""

import figures
import logs
from tables import table

ACTIVE = {"entropy": figures.BLUE, "margin": figures.GREEN, "random": figures.ORANGE, "surest": figures.GREY}
OWN = {
    "none": "none of its own",
    "all": "all",
    "random 50": "a random half",
    "entropy low 80": "`low:80%` by entropy",
    "entropy low 50": "`low:50%`",
    "entropy low 20": "`low:20%`",
    "class low 50": "`low:50%` of each class that it sees",
    "fixmatch": "probability of 0.95 or more (FixMatch)",
    "entropy high 50": "`high:50%`, the least sure",
}
LABELS = {"digits": (50, 100, 200, 300), "texts": (200, 400, 600, 1000)}


def spread(values):
    """In %."""
    return logs.plus_minus([100 * value for value in values], ".1f")


def of_those_that_have(arm, field):
    """The spread of a field's last value; where not every run has one, it says how many do."""
    values = [run.last(field) for run in arm if run.column(field)[1]]
    return spread(values) + (f" (of {len(values)} seeds)" if len(values) < len(arm) else "")


def ahead(runs, others, value):
    """A difference and its 95 % interval, in % points."""
    return logs.ahead(runs, others, lambda run: 100 * value(run), "+.1f")


def at(run, n):
    return next(line["accuracy"] for line in run.steps if line["step"] >= n)


def mean_of_rounds(run):
    return sum(run.column("accuracy")[1]) / len(run.steps)


def labels_active(runs):
    """Accuracy by the number of labels, and what entropy is ahead by."""
    rows = []
    for data, numbers in LABELS.items():
        for name in ACTIVE:
            row = [data, name, *(spread([at(run, n) for run in runs[f"{data} active {name}"]]) for n in numbers)]
            for value in (lambda run, n=numbers[-1]: at(run, n), mean_of_rounds):
                pair = (runs[f"{data} active {one}"] for one in ("entropy", name))
                row.append("" if name == "entropy" else ahead(*pair, value))
            row.append(
                ahead(runs[f"{data} active {name}"], runs[f"{data} ceiling all"], lambda run: run.last("accuracy"))
            )
            rows.append(row)
        full = runs[f"{data} ceiling all"]
        rows.append(
            [data, f"all {full[0].last_step():,}", *[""] * 3, spread([run.last("accuracy") for run in full]), *[""] * 3]
        )
    head = ["", "labelled by", "50 digits, 200 texts", "100, 400", "200, 600", "300, 1,000"]
    return table(head + ["entropy is ahead at the end", "and over all rounds", "less all labels"], rows)


def labels_own(runs):
    """Accuracy after five rounds, by what is kept of the model's own labels."""
    rows = []
    for data in LABELS:
        for name, title in OWN.items():
            arm = runs[f"{data} self {name}"]
            row = [
                data,
                title,
                *("" if name == "none" else of_those_that_have(arm, f) for f in ("kept", "kept_right")),
                spread([run.last("accuracy") for run in arm]),
            ]
            for other in ("none", "random 50", "entropy low 50"):
                row.append(
                    "" if name == other else ahead(arm, runs[f"{data} self {other}"], lambda run: run.last("accuracy"))
                )
            rows.append(row)
    return table(
        [
            "",
            "its own labels that it learns from",
            "kept, %",
            "of them right, %",
            "accuracy, %",
            "ahead of none",
            "ahead of a random half",
            "ahead of `low:50%`",
        ],
        rows,
    )


def percents(run):
    steps, values = run.column("accuracy")
    return steps, [100 * value for value in values]


def labels(runs):
    figure, panels = figures.canvas(
        "digits: active learning", "texts: active learning", "digits: self-training", "texts: self-training", n_rows=2
    )
    for axes, data in zip(panels, LABELS):
        for name, color in ACTIVE.items():
            figures.seeds(axes, [percents(run) for run in runs[f"{data} active {name}"]], color)
        ceiling = logs.spread([run.last("accuracy") for run in runs[f"{data} ceiling all"]])[0]
        axes.axhline(100 * ceiling, color="black", linewidth=1.2, linestyle=":")
        axes.set(xlabel="labels", ylabel="accuracy on held-out samples, %")
    for axes, data in zip(panels[2:], LABELS):
        names = list(OWN)[::-1]
        for y, name in enumerate(names):
            found = [100 * run.last("accuracy") for run in runs[f"{data} self {name}"]]
            axes.plot(found, [y] * len(found), "o", color=figures.BLUE, markersize=4, alpha=0.5)
            axes.plot(logs.spread(found)[0], y, "|", color=figures.ORANGE, markersize=14, markeredgewidth=2.5)
        axes.axvline(
            100 * logs.spread([run.last("accuracy") for run in runs[f"{data} self none"]])[0],
            color=figures.GREY,
            linewidth=1.2,
            linestyle="--",
        )
        axes.set_yticks(range(len(names)), [OWN[name].replace("`", "") for name in names], fontsize=8)
        axes.set(xlabel="accuracy after five rounds, %")
    entries = [
        figures.entry(f"by {name}" if name == "entropy" else name, color=color, linewidth=2)
        for name, color in ACTIVE.items()
    ]
    figures.above(
        figure,
        [
            *entries,
            figures.one_seed(),
            figures.entry("all labels", color="black", linewidth=1.2, linestyle=":"),
            figures.entry("none of its own labels", color=figures.GREY, linewidth=1.2, linestyle="--"),
            figures.entry(
                "one seed, after self-training", color=figures.BLUE, marker="o", markersize=4, alpha=0.5, linestyle=""
            ),
            figures.entry(
                "their mean", color=figures.ORANGE, marker="|", markersize=12, markeredgewidth=2.5, linestyle=""
            ),
        ],
    )
    return figure


PICTURES = (labels,)
TABLES = (labels_active, labels_own)
