"""Reads the logs of experiments, and says what seeds have in common. Needs nothing but Python.

    python3 examples/training/logs.py FOLDER FILE     gathers all finished runs of a folder in one file
"""

import glob
import json
import math
import os
import statistics
import sys

#: Student's t beyond which lie 2.5 %, by degrees of freedom (any table; scipy.stats.t.ppf(0.975, n)).
T = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 5: 2.57058, 6: 2.44691, 7: 2.36462, 8: 2.30600, 9: 2.26216}


class Log:
    """A finished run: what was run, and the lines of its steps."""

    def __init__(self, lines):
        self.head, self.steps = lines[0], [line for line in lines[1:] if "seconds" not in line]
        self.arm, self.seed = self.head["arm"], self.head["seed"]
        self.seconds = lines[-1]["seconds"]

    def column(self, name):
        """The values of a field where it is there, as two lists: step and value."""
        points = [(line["step"], line[name]) for line in self.steps if line.get(name) is not None]
        return [p[0] for p in points], [p[1] for p in points]

    def last_step(self):
        return self.steps[-1]["step"]

    def last(self, name):
        return self.column(name)[1][-1]


def gather(folder, path):
    """All finished runs of a folder, in one file, whole or not at all."""
    logs = sorted(glob.glob(os.path.join(folder, "*-*.jsonl")))
    with open(path + ".part", "w", encoding="utf-8") as out:
        for log in logs:
            with open(log, encoding="utf-8") as file:
                out.write(file.read())
    os.replace(path + ".part", path)


def read(path):
    """The runs of a gathered file, {arm: [Log of each seed, in order]}, the arms in the order of the file."""
    runs, lines = [], []
    with open(path, encoding="utf-8") as file:
        for line in map(json.loads, file):
            lines.append(line)
            if "seconds" in line:
                runs.append(Log(lines))
                lines = []
    arms = {}
    for run in sorted(runs, key=lambda run: run.seed):
        arms.setdefault(run.arm, []).append(run)
    return arms


def spread(values):
    """Mean and standard deviation over seeds (n - 1)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def interval(values):
    """Mean and half the 95 % interval of the mean, by Student's t: of the differences of pairs, say."""
    mean, deviation = spread(values)
    return mean, T[len(values) - 1] * deviation / math.sqrt(len(values))


def difference(runs, others, value):
    """Of two arms, seed by seed: mean of value(run) - value(other) and half its 95 % interval."""
    pairs = [(run, other) for run in runs for other in others if run.seed == other.seed]
    return interval([value(run) - value(other) for run, other in pairs])


def said(mean, half, form):
    """A mean and its 95 % interval, in words: "+0.4 (-0.1 to +0.9)"."""
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"


if __name__ == "__main__":
    gather(*sys.argv[1:])
