"""Draws the pictures of docs/training.md and writes its tables, from the logs of the experiments.

    python3 examples/training/show.py [LOGS [PICTURES [PAGE]]]

LOGS, a folder with NAME.jsonl of each experiment, and PICTURES are docs/training by default. What has no log is not drawn;
a page needs all. Needs matplotlib.
"""

import functools
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(ROOT, "examples"))
import figures  # noqa: E402
import logs  # noqa: E402
import tables  # noqa: E402

STUDIES = ("grpo", "gemma", "labels", "distill", "noise", "agents")  # as they stand on the page


def shown(name):
    """The module that knows what to show of an experiment: PICTURES and TABLES, functions of {arm: [logs.Log]}."""
    return importlib.import_module(f"shown.{name}")


def found(folder):
    """The experiments that have a log."""
    return [name for name in STUDIES if os.path.exists(os.path.join(folder, f"{name}.jsonl"))]


def read(folder):
    """{experiment: {arm: [logs.Log]}} of what is there."""
    return {name: logs.read(os.path.join(folder, f"{name}.jsonl")) for name in found(folder)}


def times(results):
    """How long the runs of each experiment took."""
    rows = []
    for name, arms in results.items():
        runs = [run for arm in arms.values() for run in arm]
        seconds = [run.seconds for run in runs]
        rows.append([name, len(runs), f"{min(seconds):.0f} to {max(seconds):.0f} s", logs.minutes(runs)])
    return tables.table(["", "runs", "each", "minutes, together"], rows)


def written():
    """The functions of all tables, of what read() gives."""

    def of(name, function):
        return functools.wraps(function)(lambda results: function(results[name]))

    return [times, *(of(name, function) for name in STUDIES for function in shown(name).TABLES)]


def draw(results, pictures):
    for name, runs in results.items():
        for picture in shown(name).PICTURES:
            figures.save(picture(runs), os.path.join(pictures, f"{picture.__name__}.png"))


def main(folder=os.path.join(ROOT, "docs", "training"), pictures=None, page=None):
    results = read(folder)
    if not results:
        sys.exit(f"{folder}: there is no log of {', '.join(STUDIES)}")
    draw(results, pictures or folder)
    if page:
        tables.fill(page, written(), results)


if __name__ == "__main__":
    main(*sys.argv[1:])
