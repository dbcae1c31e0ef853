"""The picture of an EntropyHistory. Needs matplotlib, and leaves its pyplot and its choice of a window alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .callbacks import EntropyHistory

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#3974b1", "#c4632b", "#3b8a5a", "#b3304a", "#888888"
#: What is taken for right around a target, as in docs/control.md.
_BAND = 0.1


def draw_history(history: EntropyHistory, title: str | None) -> Figure:
    if not len(history):
        raise ValueError("plot: expected a history with at least one observation, got none")
    below = [
        (name, label, color)
        for name, label, color in (("coefficient", "coefficient", _ORANGE), ("reward", "reward", _GREEN))
        if np.isfinite(history.column(name)).any()
    ]
    figure = Figure(figsize=(7, 2.6 + 1.5 * len(below)), layout="constrained")
    ratios = [2.2, *[1.3] * len(below)]
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    _draw_entropy(panels[0], history)
    for axes, (name, label, color) in zip(panels[1:], below):
        _draw_line(axes, history, name, color)
        axes.set_ylabel(label)
    if title is not None:
        panels[0].set_title(title, loc="left", fontsize=10)
    panels[-1].set_xlabel("step")
    figure.align_ylabels()
    return figure


def _draw_line(axes: Any, history: EntropyHistory, name: str, color: str) -> None:
    """Without a gap where a row lacks the number, as a reward that only some steps have."""
    values, steps = history.column(name), history.column("step")
    known = np.isfinite(values)
    mark = "." if known.sum() == 1 else None
    axes.plot(steps[known], values[known], color=color, linewidth=1.4, marker=mark, zorder=3, label=name)
    axes.grid(color="#e4e4e4")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_entropy(axes: Any, history: EntropyHistory) -> None:
    steps, targets = history.column("step"), history.column("target")
    known = np.isfinite(targets)
    if known.any():
        half = _BAND * np.abs(targets[known])
        low, high = targets[known] - half, targets[known] + half
        axes.plot(steps[known], targets[known], color="black", linestyle=":", linewidth=1.2, label="target")
        axes.fill_between(steps[known], low, high, color=_GREY, alpha=0.25, linewidth=0, label="within 10 % of it")
    _draw_alarms(axes, history, steps)
    _draw_line(axes, history, "entropy", _BLUE)
    axes.set_ylabel("entropy (nats)")
    axes.legend(fontsize=8, frameon=False, loc="best")


def _draw_alarms(axes: Any, history: EntropyHistory, steps: np.ndarray) -> None:
    """A span from the row where alarms begin to the first without one, or to the last."""
    raised = np.array([bool(row.alarms) for row in history] + [False])
    kinds = sorted({name for row in history for name in row.alarms})
    begins = np.flatnonzero(raised & ~np.concatenate([[False], raised[:-1]]))
    for begin in begins:
        end = min(begin + int(np.argmin(raised[begin:])), len(steps) - 1)
        label = "alarm of " + " and of ".join(kinds) if begin == begins[0] else None
        axes.axvspan(steps[begin], steps[end], color=_RED, alpha=0.15, linewidth=0, label=label)
