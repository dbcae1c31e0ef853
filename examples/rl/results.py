"""Reads what run.py gathered, and what all seeds have in common."""
import json
import statistics


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def of(results, environment, arm):
    """The runs of an arm, by seed."""
    return sorted((r for r in results if (r["environment"], r["arm"]) == (environment, arm)), key=lambda r: r["seed"])


def band(runs, field):
    """Steps at the middle of each part, and there the mean, least and greatest of the seeds that have a value."""
    n, whole = len(runs[0][field]), runs[0]["steps"]
    points = [[run[field][i] for run in runs if run[field][i] is not None] for i in range(n)]
    kept = [((i + 0.5) * whole / n, statistics.mean(p), min(p), max(p)) for i, p in enumerate(points) if p]
    return tuple(zip(*kept))


def late(run, field, share=0.5):
    """The values of the last share of a run."""
    values = run[field][int(len(run[field]) * (1 - share)):]
    return [v for v in values if v is not None]


def spread(values):
    """Mean and standard deviation over the seeds (n - 1)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def label(arm):
    """A fixed coefficient or a schedule is named by its numbers."""
    return f"beta {arm}" if arm[0].isdigit() else arm
