"""Draws the pictures of docs/training.md and writes its tables, from the logs of the experiments.

    python3 examples/training/show.py [LOGS [PICTURES [PAGE]]]

LOGS, a folder with NAME.jsonl of each experiment, and PICTURES are docs/training by default. What has no log is left as
it is. Needs matplotlib.
"""

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


def filled(page, folder):
    """The page with its tables written anew."""
    for name in found(folder):
        page = tables.filled(page, shown(name).TABLES, logs.read(os.path.join(folder, f"{name}.jsonl")))
    return page


def draw(folder, pictures):
    for name in found(folder):
        runs = logs.read(os.path.join(folder, f"{name}.jsonl"))
        for picture in shown(name).PICTURES:
            figures.save(picture(runs), os.path.join(pictures, f"{picture.__name__}.png"))


def main(folder=os.path.join(ROOT, "docs", "training"), pictures=None, page=None):
    draw(folder, pictures or folder)
    if page:
        with open(page, encoding="utf-8") as file:
            text = filled(file.read(), folder)
        with open(page, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
