"""What docs/training.md shows of examples/training/distill.py."""

import figures
import logs
import tables

NAMES = {
    "all": "all tokens",
    "mask-high": "teacher's highest 20 % masked",
    "fall": "weight falls with the teacher's entropy",
    "random-mask": "20 % at random masked",
    "keep-high": "teacher's highest 20 % kept",
    "se-kd": "student's highest 20 % kept (SE-KD)",
    "random-keep": "20 % at random kept",
    "random-step": "20 % kept, drawn anew each step",
}
SHADES = {
    "all": "black",
    "mask-high": figures.ORANGE,
    "fall": figures.RED,
    "random-mask": figures.GREY,
    "keep-high": figures.BLUE,
    "se-kd": figures.GREEN,
    "random-keep": "#d9a441",
    "random-step": figures.PURPLE,
}
FIELDS = ("loss", "kl", "kl_low", "kl_high")
TWINS = (
    ("mask-high", "all"),
    ("mask-high", "random-mask"),
    ("fall", "all"),
    ("random-mask", "all"),
    ("keep-high", "random-keep"),
    ("keep-high", "all"),
    ("se-kd", "random-step"),
    ("se-kd", "all"),
    ("random-keep", "all"),
    ("random-step", "all"),
    ("random-step", "random-keep"),
)


def distill(runs):
    """Each seed is a thin line, their mean a thick one; what lies above the first tenth's values is cut off."""
    figure, panels = figures.canvas(
        "KL from the teacher, unseen text (nats)", "where its entropy is in the lower 80 %", "in the upper 20 %"
    )
    for axes, field in zip(panels, ("kl", "kl_low", "kl_high")):
        for arm, shade in SHADES.items():
            figures.seeds(axes, [run.column(field) for run in runs[arm]], shade)
        highest = max(logs.spread([run.column(field)[1][1] for run in runs[arm]])[0] for arm in SHADES)
        axes.set(xlabel="steps", xlim=(0, None), ylim=(None, highest))
    entries = [figures.entry(NAMES[arm], color=shade, linewidth=2) for arm, shade in SHADES.items()]
    figures.above(figure, [*entries, figures.one_seed()])
    return figure


def distill_arms(runs):
    head = ["tokens in the loss", "share", "held-out loss", "KL to the teacher", "lower 80 %", "upper 20 %"]
    rows = []
    for arm, name in NAMES.items():
        share = logs.spread([value for run in runs[arm] for value in run.column("share")[1]])[0]
        fields = [logs.plus_minus([run.last(field) for run in runs[arm]], ".3f") for field in FIELDS]
        rows.append([name, f"{100 * share:.0f} %", *fields])
    return tables.table(head, rows)


def distill_pairs(runs):
    head = ["", "less", "held-out loss", "KL to the teacher", "lower 80 %", "upper 20 %"]
    rows = []
    for arm, other in TWINS:
        fields = [logs.difference(runs[arm], runs[other], lambda run, field=field: run.last(field)) for field in FIELDS]
        rows.append([NAMES[arm], NAMES[other], *(f"{mean:+.3f} ± {half:.3f}" for mean, half in fields)])
    return tables.table(head, rows)


PICTURES = (distill,)
TABLES = (distill_arms, distill_pairs)
