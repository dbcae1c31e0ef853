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
SHORT = {
    "all": ("all tokens", "black"),
    "mask-high": ("teacher's top masked", figures.ORANGE),
    "fall": ("falling weight", figures.RED),
    "random-mask": ("20 % at random masked", figures.GREY),
    "keep-high": ("teacher's top kept", figures.BLUE),
    "se-kd": ("student's top kept", figures.GREEN),
    "random-keep": ("20 % at random kept", "#bbbbbb"),
    "random-step": ("20 % of each step kept", figures.PURPLE),
}
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
)


def distill(runs):
    """Each seed is a thin line, their mean a thick one; what lies above the first tenth's values is cut off."""
    figure, panels = figures.canvas(
        "KL from the teacher, unseen text (nats)", "where its entropy is in the lower 80 %", "in the upper 20 %"
    )
    for axes, field in zip(panels, ("kl", "kl_low", "kl_high")):
        highest = 0
        for arm, (_, shade) in SHORT.items():
            columns = [run.column(field) for run in runs[arm]]
            for steps, values in columns:
                axes.plot(steps, values, color=shade, linewidth=0.5, alpha=0.45)
            mean = [sum(values) / len(values) for values in zip(*(values for _, values in columns))]
            axes.plot(columns[0][0], mean, color=shade, linewidth=2)
            highest = max(highest, mean[1])
        axes.set(xlabel="steps", xlim=(0, None), ylim=(None, highest))
    figures.above(figure, [figures.entry(name, color=shade, linewidth=2) for name, shade in SHORT.values()])
    return figure


def distill_arms(runs):
    head = ["tokens in the loss", "share", "held-out loss", "KL to the teacher", "lower 80 %", "upper 20 %"]
    rows = []
    for arm, name in NAMES.items():
        share = logs.spread([value for run in runs[arm] for value in run.column("share")[1]])[0]
        fields = [logs.spread([run.last(field) for run in runs[arm]]) for field in ("loss", "kl", "kl_low", "kl_high")]
        rows.append([name, f"{100 * share:.0f} %", *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in fields)])
    return tables.table(head, rows)


def distill_pairs(runs):
    head = ["", "less", "held-out loss", "KL to the teacher", "lower 80 %", "upper 20 %"]
    rows = []
    for arm, other in TWINS:
        fields = [
            logs.difference(runs[arm], runs[other], lambda run, field=field: run.last(field))
            for field in ("loss", "kl", "kl_low", "kl_high")
        ]
        rows.append([NAMES[arm], NAMES[other], *(f"{mean:+.3f} ± {half:.3f}" for mean, half in fields)])
    return tables.table(head, rows)


PICTURES = (distill,)
TABLES = (distill_arms, distill_pairs)
