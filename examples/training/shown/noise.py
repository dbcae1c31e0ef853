"""What docs/training.md shows of examples/training/noise.py."""

import figures
import logs
import tables

KINDS = {"drawn": "drawn at random", "hostile": "chosen to raise the loss"}
NAMES = {
    "none": "none",
    "random": "at random",
    "entropy": "high entropy",
    "surprisal": "high surprisal",
    "excess": "high surprisal less entropy",
    "oracle": "the wrong tokens",
}
SHORT = ("no mask", "random mask", "entropy masked", "surprisal masked", "surprisal - entropy", "oracle's mask")
SHADES = dict(
    zip(NAMES, ("black", figures.GREY, figures.ORANGE, figures.BLUE, figures.PURPLE, figures.GREEN), strict=True)
)


def noise(runs):
    """Each seed is a thin line, their mean a thick one; losses from two fifths of the steps on, where they differ."""
    figure, panels = figures.canvas(
        *(f"{what}: loss on clean text (nats)" for what in KINDS.values()), "share of the masked that is wrong"
    )
    for axes, kind in zip(panels, KINDS):
        for arm, shade in {"clean": figures.RED, **{f"{kind}-{rule}": shade for rule, shade in SHADES.items()}}.items():
            figures.seeds(axes, [run.column("loss") for run in runs[arm]], shade)
        last = runs["clean"][0].last_step()
        low = min(run.last("loss") for run in runs["clean"])
        high = max(
            value
            for rule in NAMES
            for run in runs[f"{kind}-{rule}"]
            for step, value in zip(*run.column("loss"))
            if step >= 0.4 * last
        )
        axes.set(xlabel="steps", xlim=(0.4 * last, last), ylim=(low - 0.02, high + 0.02))
    for kind, style in zip(KINDS, ("-", "--")):
        for rule in ("random", "entropy", "surprisal", "excess"):
            columns = [run.column("precision") for run in runs[f"{kind}-{rule}"]]
            mean = [sum(values) / len(values) for values in zip(*(values for _, values in columns))]
            panels[2].plot(columns[0][0], mean, color=SHADES[rule], linewidth=2, linestyle=style)
    panels[2].set(xlabel="steps", ylim=(0, None))
    entries = [figures.entry(name, color=shade, linewidth=2) for name, shade in zip(SHORT, SHADES.values())]
    entries += [figures.entry("clean text", color=figures.RED, linewidth=2), figures.one_seed()]
    entries += [
        figures.entry(f"on the right: {kind}", color="black", linewidth=1.2, linestyle=style)
        for kind, style in zip(KINDS, ("-", "--"))
    ]
    figures.above(figure, entries)
    return figure


def precision(run):
    """Of all steps with a mask: each line stands for as many."""
    steps = [line for line in run.steps if line.get("precision") is not None]
    masked = sum(line["masked"] for line in steps)
    return sum(line["precision"] * line["masked"] for line in steps) / masked if masked else None


def row(what, name, some, others):
    """Loss, the difference from no mask, and the model's entropy; without others there is no difference."""
    loss = logs.plus_minus([run.last("loss") for run in some], ".3f")
    entropy = logs.spread([run.last("entropy") for run in some])[0]
    less = "{:+.3f} ± {:.3f}".format(*logs.difference(some, others, lambda run: run.last("loss"))) if others else ""
    return [what, name, loss, less, f"{entropy:.2f}"]


def noise_arms(runs):
    head = [
        "noise",
        "masked",
        "loss on clean text",
        "less no mask",
        "entropy",
        "wrong, of the masked",
        "masked, of the wrong",
    ]
    rows = [[*row("no noise", NAMES["none"], runs["clean"], runs["drawn-none"]), "", ""]]
    for kind, what in KINDS.items():
        rows.append([*row(what, NAMES["none"], runs[f"{kind}-none"], None), "", ""])
        for rule in list(NAMES)[1:]:
            some = runs[f"{kind}-{rule}"]
            recall = [value for run in some for value in run.column("recall")[1][2:]]  # without the fifth that warms up
            shares = logs.spread([precision(run) for run in some])[0], logs.spread(recall)[0]
            percent = (f"{100 * share:.1f} %" for share in shares)
            rows.append([*row(what, NAMES[rule], some, runs[f"{kind}-none"]), *percent])
    return tables.table(head, rows)


def noise_pairs(runs):
    """What the page says of two masks, and of a mask and clean text."""
    pairs = [("entropy", "random"), ("surprisal", "entropy"), ("excess", "surprisal")]
    rows = []
    for kind, what in KINDS.items():
        for rule, other in [*pairs, ("oracle", None)]:
            others = runs[f"{kind}-{other}"] if other else runs["clean"]
            said = logs.ahead(runs[f"{kind}-{rule}"], others, lambda run: run.last("loss"), "+.3f")
            rows.append([what, NAMES[rule], NAMES[other] if other else "nothing, of clean text", said])
    return tables.table(["noise", "masked", "less", "loss on clean text"], rows)


PICTURES = (noise,)
TABLES = (noise_arms, noise_pairs)
