"""Reads the logs of experiments, and says what seeds have in common. Needs nothing but Python."""

import json
import math
import os
import statistics

#: Student's t beyond which lie 2.5 %, by degrees of freedom (any table; scipy.stats.t.ppf(0.975, n)).
T = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 5: 2.57058, 6: 2.44691, 7: 2.36462, 8: 2.30600, 9: 2.26216}


class Log:
    """A finished run: what was run, and the lines of its steps."""

    def __init__(self, lines):
        self.head, self.steps = lines[0], [line for line in lines[1:] if "seconds" not in line]
        self.arm, self.seed = self.head["arm"], self.head["seed"]
        self.seconds, self.is_resumed = lines[-1]["seconds"], lines[-1].get("resumed", False)

    def column(self, name):
        """The values of a field where it is there, as two lists: step and value."""
        points = [(line["step"], line[name]) for line in self.steps if line.get(name) is not None]
        return [p[0] for p in points], [p[1] for p in points]

    def last_step(self):
        return self.steps[-1]["step"]

    def last(self, name):
        return self.column(name)[1][-1]


def gather(logs, path):
    """These logs in one file, whole or not at all."""
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


def minutes(runs):
    """All runs' together: more, where one was interrupted, since its first part is not counted."""
    return "over " * any(run.is_resumed for run in runs) + f"{sum(run.seconds for run in runs) / 60:.0f}"


def spread(values):
    """Mean and standard deviation over seeds (n - 1)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def plus_minus(values, form):
    """Mean and standard deviation, in words: "0.40 ± 0.02"."""
    return "{:{form}} ± {:{form}}".format(*spread(values), form=form)


def interval(values):
    """Mean and half the 95 % interval of the mean, by Student's t: of the differences of pairs, say."""
    if len(values) - 1 not in T:
        raise ValueError(f"{len(values)} values: an interval is for 2 to {max(T) + 1}")
    mean, deviation = spread(values)
    return mean, T[len(values) - 1] * deviation / math.sqrt(len(values))


def difference(runs, others, value):
    """Of two arms, seed by seed: mean of value(run) - value(other) and half its 95 % interval."""
    seeds, of_others = ([run.seed for run in sorted(arm, key=lambda run: run.seed)] for arm in (runs, others))
    if seeds != of_others:
        raise ValueError(f"{runs[0].arm} has seeds {seeds} and {others[0].arm} {of_others}: they are no pairs")
    pairs = [(run, other) for run in runs for other in others if run.seed == other.seed]
    return interval([value(run) - value(other) for run, other in pairs])


def ahead(runs, others, value, form):
    """difference(), in words."""
    return said(*difference(runs, others, value), form)


def said(mean, half, form):
    """A mean and its 95 % interval, in words: "+0.4 (-0.1 to +0.9)"."""
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"
