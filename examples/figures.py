"""What the pictures of docs/ have in common. Needs matplotlib, but not to be imported."""
import math
import os

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#3974b1", "#c4632b", "#3b8a5a", "#8458a3", "#b3304a", "#888888"


def drawing():
    """matplotlib.pyplot, for files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def canvas(*titles, n_rows=1, width=5, height=3.6, **options):
    """A figure, and its panels row by row."""
    plt, n = drawing(), len(titles) // n_rows
    figure, axes = plt.subplots(n_rows, n, figsize=(width * n, height * n_rows), layout="constrained", squeeze=False, **options)
    for one, title in zip(axes.flat, titles):
        one.set_title(title, fontsize=10, loc="left")
        one.grid(color="#e4e4e4")
        one.set_axisbelow(True)
        for side in ("top", "right"):
            one.spines[side].set_visible(False)
    return figure, list(axes.flat)


def entry(label, **style):
    """What a legend says of a line or a mark that is drawn so."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def seeds(axes, columns, color, smooth=list):
    """A field's course in runs of several seeds, (steps, values) of each: thin lines, and a thick one for their mean at the steps that
    all have."""
    for steps, values in columns:
        axes.plot(steps, smooth(values), color=color, linewidth=0.5, alpha=0.4)
    steps = sorted(set.intersection(*(set(steps) for steps, _ in columns)))
    at = [dict(zip(*column)) for column in columns]
    axes.plot(steps, smooth([sum(one[step] for one in at) / len(at) for step in steps]), color=color, linewidth=2, zorder=3)


def one_seed():
    return entry("one seed", color=GREY, linewidth=0.5)


def above(figure, handles):
    """A legend above the panels, of two inches an entry, or more where one says much."""
    width, height = figure.get_size_inches()
    n_columns = min(len(handles), int(width / max(2, *(0.07 * len(handle.get_label()) + 0.5 for handle in handles))))
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.25 * math.ceil(len(handles) / n_columns) / height))
    figure.legend(handles=handles, fontsize=9, frameon=False, ncols=n_columns, loc="upper center")


def save(figure, path):
    """The same bytes of the same figure."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    drawing().close(figure)
